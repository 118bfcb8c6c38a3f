//! The page about the tables, from a file that the migrations made.

use std::fmt::Write as _;

use tasker_store::migrate::{self, Column, Index, Table, TableKind};

/// Returns the tables and views that the migrations make.
pub(crate) fn tables() -> anyhow::Result<Vec<Table>> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("schema.db");
    migrate::up(&path)?;
    Ok(migrate::describe(&path)?)
}

/// Returns the page about them.
pub(crate) fn page(tables: &[Table]) -> anyhow::Result<String> {
    let mut text = String::from(INTRODUCTION);
    for table in tables {
        write!(text, "\n## `{}`\n\n{}\n\n", table.name, table.comment)?;
        match table.kind {
            TableKind::Table => describe(&mut text, table)?,
            TableKind::View => {
                let columns: Vec<_> = table
                    .columns
                    .iter()
                    .map(|column| format!("`{}`", column.name))
                    .collect();
                writeln!(text, "A view with the columns {}.", columns.join(", "))?;
            }
        }
    }
    Ok(text)
}

fn describe(text: &mut String, table: &Table) -> anyhow::Result<()> {
    text.push_str("| column | type | meaning |\n|---|---|---|\n");
    for column in &table.columns {
        let meaning = column.comment.replace('|', "\\|");
        writeln!(text, "| `{}` | {} | {meaning} |", column.name, kind(column))?;
    }
    if !table.constraints.is_empty() || !table.indexes.is_empty() {
        text.push('\n');
    }
    for constraint in &table.constraints {
        writeln!(text, "- `{}`: `{}`", constraint.name, constraint.sql)?;
    }
    for index in &table.indexes {
        writeln!(text, "- `{}`: {}", index.name, index_text(index))?;
    }
    Ok(())
}

fn kind(column: &Column) -> String {
    let mut kind = column.sql_type.clone();
    if column.nullable {
        kind.push_str(" or null");
    }
    if let Some(position) = column.key_position {
        let _ = write!(kind, ", key {position}");
    }
    if let Some(default) = &column.default {
        let _ = write!(kind, ", default {default}");
    }
    kind
}

fn index_text(index: &Index) -> String {
    let unique = if index.unique { "unique index" } else { "index" };
    let columns = index.columns.join(", ");
    match &index.condition {
        Some(condition) => format!("{unique} of `{columns}` where `{condition}`"),
        None => format!("{unique} of `{columns}`"),
    }
}

const INTRODUCTION: &str = "\
<!-- Written by `cargo xtask codegen` from a database that the migrations made. -->

# Schema

What a SQLite file of Tasker holds.
Times are microseconds since 1970-01-01T00:00:00Z.
Ids that the outside sees are the 16 bytes of a UUID of version 7; inside, tasks have short integer keys.
JSON is text.
Any program may read the file while Tasker writes to it; what is not described here may change.
";

#[cfg(test)]
mod tests {
    use tasker_types::{StepState, TaskState};

    use super::*;

    /// Returns what stands in single quotes.
    fn quoted(sql: &str) -> Vec<&str> {
        sql.split('\'').skip(1).step_by(2).collect()
    }

    fn demand<'t>(tables: &'t [Table], name: &str) -> &'t str {
        let mut constraints = tables.iter().flat_map(|table| &table.constraints);
        &constraints
            .find(|constraint| constraint.name == name)
            .unwrap()
            .sql
    }

    #[test]
    fn the_states_are_those_of_the_program() {
        let tables = tables().unwrap();
        let steps: Vec<_> = StepState::ALL.iter().map(|state| state.as_str()).collect();
        assert_eq!(quoted(demand(&tables, "steps_state_check")), steps);
        let tasks: Vec<_> = TaskState::ALL.iter().map(|state| state.as_str()).collect();
        assert_eq!(quoted(demand(&tables, "tasks_state_check")), tasks);
    }

    #[test]
    fn everything_is_commented() {
        for table in tables().unwrap() {
            assert!(
                table.comment.ends_with('.'),
                "`{}` has no comment that is a sentence",
                table.name
            );
            let columns = table.columns.iter().filter(|_| table.kind == TableKind::Table);
            for Column { name, comment, .. } in columns {
                let ends = comment.ends_with('.');
                assert!(ends, "`{}.{name}` has no comment that is a sentence", table.name);
            }
        }
    }

    /// Returns the name that a constraint with this text must have.
    fn proper_name(table: &Table, sql: &str) -> String {
        let first = sql
            .split_once('(')
            .and_then(|(_, rest)| rest.split_once(')'))
            .unwrap()
            .0;
        let columns = first.split(", ").collect::<Vec<_>>().join("_");
        let checked = || {
            let named = |column: &&Column| sql.contains(&column.name);
            let columns = table.columns.iter().filter(named);
            // One column's name may be a part of another's; the longest that the text has is meant.
            columns
                .map(|column| column.name.as_str())
                .max_by_key(|name| name.len())
                .unwrap()
        };
        match sql.split_whitespace().next().unwrap() {
            "PRIMARY" => format!("{}_pkey", table.name),
            "FOREIGN" => format!("{}_{columns}_fkey", table.name),
            "UNIQUE" => format!("{}_{columns}_key", table.name),
            "CHECK" => format!("{}_{}_check", table.name, checked()),
            other => panic!("`{}` has a constraint of the unknown kind `{other}`", table.name),
        }
    }

    #[test]
    fn constraints_are_named_by_table_columns_and_kind() {
        for table in tables().unwrap() {
            for constraint in &table.constraints {
                assert_eq!(constraint.name, proper_name(&table, &constraint.sql));
            }
        }
    }

    #[test]
    fn indexes_are_named_by_table_first_columns_and_kind() {
        for table in tables().unwrap() {
            for Index {
                name,
                columns,
                unique,
                ..
            } in &table.indexes
            {
                let kind = if *unique { "key" } else { "index" };
                let proper = |count: usize| format!("{}_{}_{kind}", table.name, columns[..count].join("_"));
                assert!(
                    (1..=columns.len()).any(|count| *name == proper(count)),
                    "`{name}` has another form"
                );
            }
        }
    }
}
