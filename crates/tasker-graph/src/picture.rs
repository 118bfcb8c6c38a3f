//! The graph as a picture: where steps fail, what waits for them, and which path is critical.
//!
//! A picture is text, and needs nothing beside it: no font, no script, no network.

mod html;
mod layout;
mod svg;

use crate::analysis::Analysis;

pub use html::Page;

impl Analysis {
    /// Draws the graph as SVG, which follows the reader's light or dark scheme.
    ///
    /// Steps have the colour of what they are doing; bottlenecks have their severity; the most critical path is
    /// drawn strongly.
    ///
    /// # Complexity
    ///
    /// O((V + D) log (V + D)) for the D places where edges cross levels.
    pub fn to_svg(&self, title: &str) -> String {
        svg::document(self, title)
    }
}
