//! What a file's schema says of itself.

use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Nullable, Text};
use tasker_engine::StoreError;

use super::check;
use crate::sqlite::connection::Connection;
use crate::sqlite::error::classify;
use crate::sqlite::file::{Mode, SqliteFile};
use crate::sqlite::statement::{Bind, Statement};

/// A table or a view, as the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: TableKind,
    /// What it is for; empty when the schema does not say.
    pub comment: String,
    /// Its columns, in order.
    pub columns: Vec<Column>,
    /// Its constraints that have a name, in order.
    pub constraints: Vec<Constraint>,
    /// Its indexes that no constraint made, by name.
    pub indexes: Vec<Index>,
}

/// What rows are kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableKind {
    /// A table, which holds them.
    Table,
    /// A view, which finds them in tables.
    View,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The type of its values.
    pub sql_type: String,
    /// Whether a row may have no value there.
    pub nullable: bool,
    /// The value that a row has unless it says otherwise, as SQL.
    pub default: Option<String>,
    /// Its place in the primary key, from 1 on.
    pub key_position: Option<u32>,
    /// What it means; empty when the schema does not say.
    pub comment: String,
}

/// A constraint of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constraint {
    /// Its name.
    pub name: String,
    /// What it demands, as SQL in one line.
    pub sql: String,
}

/// An index of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// Its columns, in order.
    pub columns: Vec<String>,
    /// Whether no two rows may be equal in them.
    pub unique: bool,
    /// Which rows it has, as SQL; all when there is none.
    pub condition: Option<String>,
}

/// Returns the tables and views of a file, by name; those that only keep count of migrations are left out. A file that
/// is not there has none, and is not made.
///
/// # Errors
///
/// When the file is no database of Tasker, or belongs to a newer program.
pub fn describe(file: impl Into<SqliteFile>) -> Result<Vec<Table>, StoreError> {
    let file = file.into();
    let path = file.path();
    if !path.exists() {
        return Ok(Vec::new());
    }
    let mut connection = file.open(Mode::Read)?;
    check(path, &mut connection)?;
    tables(&mut connection).map_err(|error| classify(path, error))
}

fn tables(connection: &mut Connection) -> QueryResult<Vec<Table>> {
    const TABLES: &str = "SELECT name, type, sql FROM sqlite_schema WHERE type IN ('table', 'view') \
         AND name NOT LIKE 'sqlite~_%' ESCAPE '~' AND name <> '__diesel_schema_migrations' ORDER BY name";
    let rows =
        Statement::<(Text, Text, Text)>::new(TABLES, &[]).load::<(String, String, String)>(connection)?;
    rows.into_iter()
        .map(|(name, kind, sql)| {
            Ok(Table {
                kind: if kind == "view" {
                    TableKind::View
                } else {
                    TableKind::Table
                },
                comment: comment_of_table(&sql),
                columns: columns(connection, &name, &sql)?,
                constraints: constraints(&sql),
                indexes: indexes(connection, &name)?,
                name,
            })
        })
        .collect()
}

fn columns(connection: &mut Connection, table: &str, sql: &str) -> QueryResult<Vec<Column>> {
    const COLUMNS: &str =
        "SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_xinfo(?1) ORDER BY cid";
    type Row = (String, String, i64, Option<String>, i64);
    let rows = Statement::<(Text, Text, BigInt, Nullable<Text>, BigInt)>::new(COLUMNS, &[Bind::Text(table)])
        .load::<Row>(connection)?;
    let column = |(name, sql_type, not_null, default, key): Row| Column {
        comment: comment_of_column(sql, &name),
        name,
        sql_type,
        nullable: not_null == 0,
        default,
        key_position: u32::try_from(key).ok().filter(|position| *position > 0),
    };
    Ok(rows.into_iter().map(column).collect())
}

fn indexes(connection: &mut Connection, table: &str) -> QueryResult<Vec<Index>> {
    const INDEXES: &str = "SELECT l.name, l.\"unique\", s.sql FROM pragma_index_list(?1) AS l \
         JOIN sqlite_schema AS s ON s.type = 'index' AND s.name = l.name WHERE l.origin = 'c' ORDER BY l.name";
    const COLUMNS: &str = "SELECT name FROM pragma_index_info(?1) ORDER BY seqno";
    let rows = Statement::<(Text, BigInt, Text)>::new(INDEXES, &[Bind::Text(table)])
        .load::<(String, i64, String)>(connection)?;
    rows.into_iter()
        .map(|(name, unique, sql)| {
            let columns =
                Statement::<(Text,)>::new(COLUMNS, &[Bind::Text(&name)]).load::<(String,)>(connection)?;
            Ok(Index {
                name,
                columns: columns.into_iter().map(|row| row.0).collect(),
                unique: unique != 0,
                condition: one_line(&sql)
                    .split_once(" WHERE ")
                    .map(|(_, condition)| condition.to_owned()),
            })
        })
        .collect()
}

/// Returns the comment lines that come before anything else in the text of a table or view.
fn comment_of_table(sql: &str) -> String {
    let lines = sql
        .lines()
        .skip(1)
        .map_while(|line| line.trim().strip_prefix("--"));
    lines.map(str::trim).collect::<Vec<_>>().join(" ")
}

/// Returns the comment at the end of the line that defines a column.
fn comment_of_column(sql: &str, column: &str) -> String {
    let line = sql
        .lines()
        .find(|line| line.split_whitespace().next() == Some(column));
    let comment = line.and_then(|line| line.split_once("--"));
    comment
        .map(|(_, comment)| comment.trim().to_owned())
        .unwrap_or_default()
}

/// Returns the constraints that the text of a table names.
fn constraints(sql: &str) -> Vec<Constraint> {
    let plain: Vec<_> = sql
        .lines()
        .map(|line| line.split_once("--").map_or(line, |(code, _)| code))
        .collect();
    let plain = one_line(&plain.join("\n"));
    let after_each = plain.split(" CONSTRAINT ").skip(1);
    after_each
        .filter_map(|text| {
            let (name, demand) = text.split_once(' ')?;
            // What it demands ends where its parentheses do: at the next comma, or at the end of the table.
            let mut depth = 0_usize;
            let end = demand.find(|character| {
                match character {
                    '(' => depth += 1,
                    ')' if depth == 0 => return true,
                    ')' => depth -= 1,
                    ',' if depth == 0 => return true,
                    _ => {}
                }
                false
            });
            let demand = demand[..end.unwrap_or(demand.len())].trim();
            Some(Constraint {
                name: name.to_owned(),
                sql: demand.replace("( ", "(").replace(" )", ")"),
            })
        })
        .collect()
}

fn one_line(sql: &str) -> String {
    sql.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQL: &str = "CREATE TABLE steps (\n    -- One row\n    -- for each step.\n    step  INTEGER NOT NULL, \
         -- The step's number, after all.\n    state TEXT, -- The state.\n    silent TEXT,\n    \
         CONSTRAINT steps_pkey PRIMARY KEY (step, state),\n    CONSTRAINT steps_state_check CHECK (\n        \
         state IN ('pending', 'complete') -- No others.\n    )\n) STRICT";

    #[test]
    fn comments_are_those_of_their_tables_and_columns() {
        assert_eq!(comment_of_table(SQL), "One row for each step.");
        assert_eq!(comment_of_column(SQL, "step"), "The step's number, after all.");
        assert_eq!(comment_of_column(SQL, "state"), "The state.");
        assert_eq!(comment_of_column(SQL, "silent"), "");
        assert_eq!(comment_of_column(SQL, "absent"), "");
    }

    #[test]
    fn constraints_end_where_the_next_begins() {
        let found: Vec<_> = constraints(SQL)
            .into_iter()
            .map(|found| (found.name, found.sql))
            .collect();
        let expected = [
            ("steps_pkey", "PRIMARY KEY (step, state)"),
            ("steps_state_check", "CHECK (state IN ('pending', 'complete'))"),
        ];
        assert_eq!(
            found,
            expected.map(|(name, sql)| (name.to_owned(), sql.to_owned()))
        );
    }

    #[test]
    fn a_schema_describes_its_columns_and_indexes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tasker.db");
        crate::migrate::up(&path).unwrap();
        let tables = describe(&path).unwrap();
        let named = |name: &str| tables.iter().find(|table| table.name == name).unwrap();
        let edges = &named("graph_edges").columns;
        assert_eq!(
            (edges[0].name.as_str(), edges[0].key_position),
            ("graph", Some(1))
        );
        assert_eq!(
            (edges[1].name.as_str(), edges[1].key_position),
            ("from_step", Some(2))
        );
        assert_eq!(
            (edges[1].sql_type.as_str(), edges[1].nullable),
            ("INTEGER", false)
        );
        let columns = &named("steps").columns;
        let waits = columns.iter().find(|column| column.name == "waits").unwrap();
        assert_eq!((waits.default.as_deref(), waits.key_position), (Some("0"), None));
        let identity = named("tasks")
            .indexes
            .iter()
            .find(|index| index.name == "tasks_identity_key");
        let expected = Index {
            name: "tasks_identity_key".to_owned(),
            columns: vec!["identity".to_owned()],
            unique: true,
            condition: Some("identity IS NOT NULL".to_owned()),
        };
        assert_eq!(identity, Some(&expected));
        assert_eq!(named("attempts").kind, TableKind::View);
    }

    #[test]
    fn a_file_without_a_schema_has_no_tables() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tasker.db");
        assert_eq!(describe(&path).unwrap(), []);
        assert!(!path.exists());
        crate::migrate::up(&path).unwrap();
        crate::migrate::down(&path, 9).unwrap();
        assert_eq!(describe(&path).unwrap(), []);
    }
}
