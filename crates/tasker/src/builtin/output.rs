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

/// Reads a stream to its end and keeps its last `limit` bytes in `tail`.
pub(super) async fn read_tail(mut stream: impl AsyncRead + Unpin, limit: usize, tail: &mut VecDeque<u8>) {
    let mut chunk = vec![0; CHUNK];
    while let Ok(count @ 1..) = stream.read(&mut chunk).await {
        tail.extend(&chunk[..count]);
        tail.drain(..tail.len().saturating_sub(limit));
    }
}
