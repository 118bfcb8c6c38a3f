//! Reads what a command writes, within limits.

use std::collections::VecDeque;

use tokio::io::{AsyncRead, AsyncReadExt};

const CHUNK: usize = 16 * 1024;

/// What was read of a stream.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) bytes: Vec<u8>,
    /// There was more than the limit.
    pub(super) over: bool,
}

/// Reads a stream to its end and adds its first `limit` bytes to `head`.
pub(super) async fn read_head(mut stream: impl AsyncRead + Unpin, limit: usize, head: &mut Head) {
    let mut chunk = vec![0; CHUNK];
    // A stream that cannot be read further is at its end.
    while let Ok(count @ 1..) = stream.read(&mut chunk).await {
        let room = limit - head.bytes.len();
        head.over |= count > room;
        head.bytes.extend_from_slice(&chunk[..count.min(room)]);
    }
}

/// The end of what was read of a stream.
#[derive(Debug, Default)]
pub(super) struct Tail {
    bytes: VecDeque<u8>,
    /// The last line, which has no end yet.
    line: Vec<u8>,
}

/// No line is longer than this; what is comes in pieces.
const LINE: usize = 8 * 1024;

impl Tail {
    /// Reads a stream to its end and keeps its last `limit` bytes, without the lines that `takes` takes out.
    pub(super) async fn read(
        &mut self,
        mut stream: impl AsyncRead + Unpin,
        limit: usize,
        takes: &mut (dyn FnMut(&str) -> bool + Send),
    ) {
        let mut chunk = vec![0; CHUNK];
        while let Ok(count @ 1..) = stream.read(&mut chunk).await {
            for piece in chunk[..count].split_inclusive(|byte| *byte == b'\n') {
                self.line.extend_from_slice(piece);
                if piece.ends_with(b"\n") || self.line.len() > LINE {
                    self.end_line(limit, takes);
                }
            }
        }
        self.end_line(limit, takes);
    }

    fn end_line(&mut self, limit: usize, takes: &mut (dyn FnMut(&str) -> bool + Send)) {
        let text = std::str::from_utf8(&self.line);
        if !text.is_ok_and(|line| takes(line.trim_end())) {
            self.bytes.extend(&self.line);
            self.bytes.drain(..self.bytes.len().saturating_sub(limit));
        }
        self.line.clear();
    }

    /// Returns what was kept, as far as it is text.
    pub(super) fn text(&mut self, limit: usize) -> String {
        self.end_line(limit, &mut |_| false);
        String::from_utf8_lossy(self.bytes.make_contiguous()).into_owned()
    }
}
