//! Drawings of a graph: Mermaid, Graphviz, and text for a terminal.

use std::fmt::Write;

use crate::dag::Dag;

/// What a drawing says about a node beside its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeLabel {
    /// A few words, shown under or beside the name.
    pub note: Option<String>,
    /// A class for colouring, the same for nodes that should look alike; letters, digits and `_`.
    pub class: Option<&'static str>,
    /// The colour of the class, as `#rrggbb`.
    pub colour: Option<&'static str>,
}

impl Dag {
    /// Draws the graph as a Mermaid flow chart.
    pub fn to_mermaid(&self, label: &dyn Fn(usize) -> NodeLabel) -> String {
        let mut text = "flowchart TD\n".to_owned();
        let mut classes = std::collections::BTreeMap::new();
        for node in 0..self.len() {
            let NodeLabel { note, class, colour } = label(node);
            let mut caption = escape_mermaid(self.name(node));
            if let Some(note) = note {
                caption.push_str("<br/>");
                caption.push_str(&escape_mermaid(&note));
            }
            let suffix = class.map_or_else(String::new, |class| format!(":::{class}"));
            line(&mut text, format_args!("    n{node}[\"{caption}\"]{suffix}"));
            if let (Some(class), Some(colour)) = (class, colour) {
                classes.insert(class, colour);
            }
        }
        for (from, to) in self.edges() {
            line(&mut text, format_args!("    n{from} --> n{to}"));
        }
        for (class, colour) in classes {
            line(&mut text, format_args!("    classDef {class} fill:{colour}"));
        }
        text
    }

    /// Draws the graph in Graphviz's language.
    pub fn to_graphviz(&self, label: &dyn Fn(usize) -> NodeLabel) -> String {
        let mut text = "digraph {\n    rankdir=TB;\n    node [shape=box, style=\"rounded,filled\", \
             fillcolor=white, fontname=sans];\n"
            .to_owned();
        for node in 0..self.len() {
            let NodeLabel { note, class: _, colour } = label(node);
            let mut caption = escape_graphviz(self.name(node));
            if let Some(note) = note {
                caption.push_str("\\n");
                caption.push_str(&escape_graphviz(&note));
            }
            let fill = colour.map_or_else(String::new, |colour| format!(", fillcolor=\"{colour}\""));
            line(&mut text, format_args!("    n{node} [label=\"{caption}\"{fill}];"));
        }
        for (from, to) in self.edges() {
            line(&mut text, format_args!("    n{from} -> n{to};"));
        }
        text.push_str("}\n");
        text
    }

    /// Draws the graph as lines of text: the nodes by level, and for each what it waits for.
    pub fn to_text(&self, label: &dyn Fn(usize) -> NodeLabel) -> String {
        let mut nodes: Vec<usize> = (0..self.len()).collect();
        nodes.sort_by_key(|node| (self.levels()[*node], *node));
        let width = nodes.iter().map(|node| self.name(*node).chars().count()).max().unwrap_or(0).min(40);
        let mut text = String::new();
        let mut level = None;
        for node in nodes {
            if level.replace(self.levels()[node]) != Some(self.levels()[node]) {
                line(&mut text, format_args!("level {}", self.levels()[node]));
            }
            let mut notes = Vec::new();
            notes.extend(label(node).note.map(|note| printable(&note)));
            let parents: Vec<_> = self.parents(node).iter().map(|parent| self.name(*parent)).collect();
            if !parents.is_empty() {
                notes.push(format!("after {}", parents.join(", ")));
            }
            let row = format!("  {:width$}  {}", self.name(node), notes.join("  "));
            line(&mut text, format_args!("{}", row.trim_end()));
        }
        text
    }
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = text.write_fmt(arguments);
    text.push('\n');
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Writes what Mermaid would take for markup as its character codes.
fn escape_mermaid(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in printable(text).chars() {
        match c {
            '"' | '#' | '&' | '<' | '>' | '`' | '\\' | '[' | ']' | '{' | '}' | ';' => {
                // Writing to a string cannot fail.
                let _ = write!(escaped, "#{};", u32::from(c));
            }
            _ => escaped.push(c),
        }
    }
    escaped
}

fn escape_graphviz(text: &str) -> String {
    printable(text).replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diamond() -> Dag {
        Dag::build(["start", "left", "right", "a \"b\" [c]"], [(0, 1), (0, 2), (1, 3), (2, 3)]).unwrap()
    }

    fn label(node: usize) -> NodeLabel {
        match node {
            1 => NodeLabel {
                note: Some("failed: \"no\nroute\"".to_owned()),
                class: Some("error"),
                colour: Some("#f8d7da"),
            },
            _ => NodeLabel::default(),
        }
    }

    #[test]
    fn mermaid_escapes_what_it_would_read_as_markup() {
        insta::assert_snapshot!(diamond().to_mermaid(&label), @r##"
        flowchart TD
            n0["start"]
            n1["left<br/>failed: #34;no route#34;"]:::error
            n2["right"]
            n3["a #34;b#34; #91;c#93;"]
            n0 --> n1
            n0 --> n2
            n1 --> n3
            n2 --> n3
            classDef error fill:#f8d7da
        "##);
    }

    #[test]
    fn graphviz_escapes_quotes_and_backslashes() {
        insta::assert_snapshot!(diamond().to_graphviz(&label), @r##"
        digraph {
            rankdir=TB;
            node [shape=box, style="rounded,filled", fillcolor=white, fontname=sans];
            n0 [label="start"];
            n1 [label="left\nfailed: \"no route\"", fillcolor="#f8d7da"];
            n2 [label="right"];
            n3 [label="a \"b\" [c]"];
            n0 -> n1;
            n0 -> n2;
            n1 -> n3;
            n2 -> n3;
        }
        "##);
    }

    #[test]
    fn text_tells_what_waits_for_what() {
        insta::assert_snapshot!(diamond().to_text(&label), @r#"
        level 0
          start
        level 1
          left       failed: "no route"  after start
          right      after start
        level 2
          a "b" [c]  after left, right
        "#);
    }
}
