//! Drawings of a graph: for Mermaid, for Graphviz, and as text for a terminal.
//!
//! What a node says beside its name comes from the caller; this module knows no states and no colours. Names and notes
//! may hold anything: what a format would read as markup is escaped, and control characters become spaces.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use crate::dag::Dag;

/// Where a line of text is wrapped, in characters.
const LINE_WIDTH: usize = 100;

/// The widest that a column of text becomes; what is longer moves its own line only.
const COLUMN_WIDTH: usize = 40;

/// What a drawing says about a node beside its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeLabel {
    /// A few words, under or beside the name.
    pub note: Option<String>,
    /// The class that the node shares with all that should look alike: letters, digits, `_` and `-`; all else becomes
    /// `_`. Text ignores it.
    pub class: Option<&'static str>,
    /// The colour that fills the nodes of the class, as `#rrggbb` or a name; the text on it is dark. Text ignores it.
    pub colour: Option<&'static str>,
}

impl Dag {
    /// Draws the graph as a Mermaid flow chart from the roots down.
    ///
    /// Nodes are called `n0`, `n1` and so on, since a name may be a word of the language. A class gets the colour of its
    /// first node that has one.
    pub fn to_mermaid(&self, label: &dyn Fn(usize) -> NodeLabel) -> String {
        let mut text = "flowchart TD\n".to_owned();
        let mut colours = BTreeMap::new();
        for node in 0..self.len() {
            let NodeLabel { note, class, colour } = label(node);
            let mut caption = escape_mermaid(self.name(node));
            if let Some(note) = note {
                caption.push_str("<br/>");
                caption.push_str(&escape_mermaid(&note));
            }
            let class = class.map(word);
            let suffix = class
                .as_ref()
                .map_or_else(String::new, |class| format!(":::{class}"));
            line(&mut text, format_args!("    n{node}[\"{caption}\"]{suffix}"));
            if let (Some(class), Some(colour)) = (class, colour) {
                colours.entry(class).or_insert_with(|| paint(colour));
            }
        }
        for (from, to) in self.edges() {
            line(&mut text, format_args!("    n{from} --> n{to}"));
        }
        for (class, colour) in colours {
            line(
                &mut text,
                format_args!("    classDef {class} fill:{colour},color:#1f1f1f"),
            );
        }
        text
    }

    /// Draws the graph in the language of Graphviz, from the roots down.
    pub fn to_graphviz(&self, label: &dyn Fn(usize) -> NodeLabel) -> String {
        let mut text = "digraph {\n    rankdir=TB;\n    \
             node [shape=box, style=\"rounded,filled\", fillcolor=white, fontname=\"sans-serif\"];\n"
            .to_owned();
        for node in 0..self.len() {
            let NodeLabel { note, class, colour } = label(node);
            let mut caption = escape_graphviz(self.name(node));
            if let Some(note) = note {
                caption.push_str("\\n");
                caption.push_str(&escape_graphviz(&note));
            }
            let class = class.map_or_else(String::new, |class| format!(", class=\"{}\"", word(class)));
            let fill = colour.map_or_else(String::new, |colour| format!(", fillcolor=\"{}\"", paint(colour)));
            line(
                &mut text,
                format_args!("    n{node} [label=\"{caption}\"{class}{fill}];"),
            );
        }
        for (from, to) in self.edges() {
            line(&mut text, format_args!("    n{from} -> n{to};"));
        }
        text.push_str("}\n");
        text
    }

    /// Draws the graph as lines of text: the nodes by level, each with its note and the nodes that it comes after.
    ///
    /// A level's number stands beside its first node. Long lists of parents go on in the next line.
    pub fn to_text(&self, label: &dyn Fn(usize) -> NodeLabel) -> String {
        let mut nodes: Vec<usize> = (0..self.len()).collect();
        nodes.sort_by_key(|node| (self.levels()[*node], *node));
        let rows: Vec<(usize, String, String)> = nodes
            .into_iter()
            .map(|node| {
                (
                    node,
                    printable(self.name(node)),
                    printable(&label(node).note.unwrap_or_default()),
                )
            })
            .collect();
        let gutter = self
            .levels()
            .iter()
            .max()
            .map_or(0, |level| level.to_string().len());
        let name_width = column_width(rows.iter().map(|(_, name, _)| name));
        let note_width = column_width(rows.iter().map(|(_, _, note)| note));

        let mut text = String::new();
        let mut last_level = None;
        for (node, name, note) in rows {
            let level = self.levels()[node];
            let number = if last_level.replace(level) == Some(level) {
                String::new()
            } else {
                level.to_string()
            };
            let mut row = format!("{number:>gutter$}  {name:name_width$}");
            if note_width > 0 {
                row.push_str(&format!("  {note:note_width$}"));
            }
            self.list_parents(node, &mut row, &mut text);
            line(&mut text, format_args!("{}", row.trim_end()));
        }
        text
    }

    /// Ends a row with the node's parents; the lines that become full go to the text.
    fn list_parents(&self, node: usize, row: &mut String, text: &mut String) {
        let Some((last, _)) = self.parents(node).split_last() else {
            return;
        };
        row.push_str("  after");
        let indent = row.chars().count();
        let mut length = indent;
        for parent in self.parents(node) {
            let mut name = printable(self.name(*parent));
            if parent != last {
                name.push(',');
            }
            let added = 1 + name.chars().count();
            if length > indent && length + added > LINE_WIDTH {
                line(text, format_args!("{row}"));
                *row = " ".repeat(indent);
                length = indent;
            }
            row.push(' ');
            row.push_str(&name);
            length += added;
        }
    }
}

fn column_width<'a>(cells: impl Iterator<Item = &'a String>) -> usize {
    cells
        .map(|cell| cell.chars().count())
        .max()
        .unwrap_or(0)
        .min(COLUMN_WIDTH)
}

fn line(text: &mut String, arguments: fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = text.write_fmt(arguments);
    text.push('\n');
}

fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn word(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '_' || c == '-' {
                c
            } else {
                '_'
            }
        })
        .collect()
}

fn paint(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '#')
        .collect()
}

/// Writes everything but letters, digits, spaces and harmless punctuation as its character code: besides quotes and
/// brackets, Mermaid looks into labels for entities, tags, directives (`%%`), formulas (`$$`) and Markdown.
fn escape_mermaid(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in printable(text).chars() {
        if c.is_alphanumeric() || " _-.,:!?/+=@()'…".contains(c) {
            escaped.push(c);
        } else {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "#{};", u32::from(c));
        }
    }
    escaped
}

/// In a quoted string the quote ends it and a backslash begins an escape such as `\N`, the node's name.
fn escape_graphviz(text: &str) -> String {
    printable(text).replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAUGHTY: &str = r#"a "b" [c] \N <d> %%{e}%% $$f$$ `g`"#;

    fn diamond() -> Dag {
        Dag::build(
            ["end", "left", "right", NAUGHTY],
            [(0, 1), (0, 2), (1, 3), (2, 3)],
        )
        .unwrap()
    }

    fn state(node: usize) -> NodeLabel {
        match node {
            0 => NodeLabel {
                note: Some("complete".to_owned()),
                class: Some("complete"),
                colour: None,
            },
            1 => NodeLabel {
                note: Some("error: \"no\nroute\"\u{1b}[31m".to_owned()),
                class: Some("in error"),
                colour: Some("#f8d7da"),
            },
            _ => NodeLabel::default(),
        }
    }

    fn plain(_: usize) -> NodeLabel {
        NodeLabel::default()
    }

    #[test]
    fn mermaid_takes_no_name_for_markup() {
        insta::assert_snapshot!(diamond().to_mermaid(&state), @r###"
        flowchart TD
            n0["end<br/>complete"]:::complete
            n1["left<br/>error: #34;no route#34; #91;31m"]:::in_error
            n2["right"]
            n3["a #34;b#34; #91;c#93; #92;N #60;d#62; #37;#37;#123;e#125;#37;#37; #36;#36;f#36;#36; #96;g#96;"]
            n0 --> n1
            n0 --> n2
            n1 --> n3
            n2 --> n3
            classDef in_error fill:#f8d7da,color:#1f1f1f
        "###);
    }

    #[test]
    fn graphviz_takes_no_name_for_markup() {
        insta::assert_snapshot!(diamond().to_graphviz(&state), @r###"
        digraph {
            rankdir=TB;
            node [shape=box, style="rounded,filled", fillcolor=white, fontname="sans-serif"];
            n0 [label="end\ncomplete", class="complete"];
            n1 [label="left\nerror: \"no route\" [31m", class="in_error", fillcolor="#f8d7da"];
            n2 [label="right"];
            n3 [label="a \"b\" [c] \\N <d> %%{e}%% $$f$$ `g`"];
            n0 -> n1;
            n0 -> n2;
            n1 -> n3;
            n2 -> n3;
        }
        "###);
    }

    #[test]
    fn text_shows_what_each_node_comes_after() {
        insta::assert_snapshot!(diamond().to_text(&state), @r###"
        0  end                                 complete
        1  left                                error: "no route" [31m  after end
           right                                                       after end
        2  a "b" [c] \N <d> %%{e}%% $$f$$ `g`                          after left, right
        "###);
    }

    #[test]
    fn text_without_notes_has_no_column_for_them() {
        insta::assert_snapshot!(diamond().to_text(&plain), @r###"
        0  end
        1  left                                after end
           right                               after end
        2  a "b" [c] \N <d> %%{e}%% $$f$$ `g`  after left, right
        "###);
    }

    #[test]
    fn text_wraps_long_lists() {
        let names = (0..30)
            .map(|node| format!("extract_{node}"))
            .chain(["merge".to_owned()]);
        let dag = Dag::build(names, (0..30).map(|node| (node, 30))).unwrap();
        let text = dag.to_text(&plain);
        let wrapped: Vec<_> = text.lines().skip(30).collect();
        insta::assert_snapshot!(wrapped.join("\n"), @r###"
        1  merge       after extract_0, extract_1, extract_2, extract_3, extract_4, extract_5, extract_6,
                             extract_7, extract_8, extract_9, extract_10, extract_11, extract_12,
                             extract_13, extract_14, extract_15, extract_16, extract_17, extract_18,
                             extract_19, extract_20, extract_21, extract_22, extract_23, extract_24,
                             extract_25, extract_26, extract_27, extract_28, extract_29
        "###);
    }

    #[test]
    fn text_of_two_hundred_steps_has_one_narrow_line_each() {
        let names = (0..200).map(|node| format!("step_{node:03}"));
        let dag = Dag::build(names, (0..199).map(|node| (node, node + 1))).unwrap();
        let text = dag.to_text(&state);
        assert_eq!(text.lines().count(), 200);
        assert!(text.lines().all(|line| line.chars().count() <= LINE_WIDTH));
        assert_eq!(text.lines().last().map(str::trim_end), text.lines().last());
    }

    #[test]
    fn an_empty_graph_draws_empty() {
        let dag = Dag::build::<&str>([], []).unwrap();
        assert_eq!(dag.to_mermaid(&plain), "flowchart TD\n");
        assert_eq!(dag.to_text(&plain), "");
    }

    #[test]
    fn lines_are_as_full_as_they_may_be() {
        for length in 1..2 * LINE_WIDTH {
            let names = [
                "first".to_owned(),
                "x".repeat(length),
                "third".to_owned(),
                "last".to_owned(),
            ];
            let dag = Dag::build(names, [(0, 3), (1, 3), (2, 3)]).unwrap();
            let text = dag.to_text(&plain);
            let (_, row) = text.split_once("  after ").unwrap();
            assert!(row.starts_with("first,"), "{text}");
            let lines: Vec<&str> = text
                .lines()
                .skip_while(|line| !line.contains("  after "))
                .collect();
            for pair in lines.windows(2) {
                let next = pair[1].split_whitespace().next().unwrap();
                assert!(
                    pair[0].chars().count() + 1 + next.chars().count() > LINE_WIDTH,
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn a_name_that_fits_no_line_stays_beside_its_node() {
        let names = ["x".repeat(2 * LINE_WIDTH), "last".to_owned()];
        let text = Dag::build(names, [(0, 1)]).unwrap().to_text(&plain);
        assert!(text.lines().all(|line| !line.ends_with("after")), "{text}");
    }

    #[test]
    fn a_class_is_one_word() {
        assert_eq!(word("in_error-2 (for good)"), "in_error-2__for_good_");
    }
}
