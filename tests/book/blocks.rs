//! Finds the code blocks of a page.

use std::fmt;
use std::path::{Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};

/// A code block.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) page: PathBuf,
    line: usize,
    info: String,
    pub(super) text: String,
    /// The page is written by `cargo xtask codegen`.
    pub(super) is_generated: bool,
}

impl Block {
    /// Returns the words behind the fence.
    pub(super) fn words(&self) -> impl Iterator<Item = &str> {
        self.info.split([' ', ',']).filter(|word| !word.is_empty())
    }

    /// Returns the file that it stands for.
    pub(super) fn file(&self) -> Option<&str> {
        self.words().find(|word| word.contains('.'))
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.page.display(), self.line)
    }
}

/// Returns the blocks of a page in their order. An indented one has no words, and so nobody knows how to test it.
pub(super) fn of(page: &Path) -> Vec<Block> {
    let text = std::fs::read_to_string(page).unwrap();
    let is_generated = text.starts_with("<!-- Written by `cargo xtask codegen`");
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (event, range) in Parser::new(&text).into_offset_iter() {
        match event {
            Event::Start(Tag::CodeBlock(kind)) => {
                let info = match kind {
                    CodeBlockKind::Fenced(info) => info.to_string(),
                    CodeBlockKind::Indented => String::new(),
                };
                open = Some(Block {
                    page: page.to_owned(),
                    line: text[..range.start].matches('\n').count() + 1,
                    info,
                    text: String::new(),
                    is_generated,
                });
            }
            Event::Text(part) => {
                if let Some(block) = &mut open {
                    block.text.push_str(&part);
                }
            }
            Event::End(TagEnd::CodeBlock) => blocks.extend(open.take()),
            _ => {}
        }
    }
    blocks
}
