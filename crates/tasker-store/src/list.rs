//! Lists of tasks: which index a list walks, and what is left to compare.
//!
//! A list comes from one index, in its order: that of labels, that of templates and states, or that of times. What the index
//! does not say is compared here, row by row, and a page that would have to look at too many rows ends early. So a page
//! costs the same wherever it begins, and never more than some thousand rows.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use tasker_engine::{
    FailureReason, Json, Listed, Origin, SortOrder, TaskFilter, TaskMark, TaskPage, TaskQuery, TaskSort,
    TaskSummary,
};
use tasker_types::{TaskId, TaskState, Timestamp};

/// How many rows a page looks at before it ends early.
const MOST: usize = 10_000;

/// How many rows are read at once when few of them are expected to pass.
const CHUNK: usize = 1_000;

/// How many characters of a label stand in the index.
const LONGEST: usize = 255;

/// What tasks are found by beside their rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Label {
    Tag,
    Initiator,
    SourceSystem,
    Annotation,
}

impl Label {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Tag => "tag",
            Self::Initiator => "initiator",
            Self::SourceSystem => "source_system",
            Self::Annotation => "annotation",
        }
    }
}

/// Returns a label as the index has it: what is long is cut, and what a database cannot keep is replaced. Two that are equal
/// there are told apart by what the task's row says.
fn indexed(text: &str) -> String {
    text.chars()
        .take(LONGEST)
        .map(|c| if c == '\0' { '\u{FFFD}' } else { c })
        .collect()
}

/// Tells whether the index has a label as it is.
fn is_indexed(text: &str) -> bool {
    text.chars().count() < LONGEST && !text.contains(['\0', '\u{FFFD}'])
}

/// Returns the labels under which a task is found, each once.
pub(crate) fn labels(origin: &Origin) -> Vec<(Label, String)> {
    let tags = origin.tags.iter().map(|tag| (Label::Tag, tag));
    let initiator = origin.initiator.iter().map(|name| (Label::Initiator, name));
    let source = origin
        .source_system
        .iter()
        .map(|name| (Label::SourceSystem, name));
    let notes = origin.annotations.keys().map(|name| (Label::Annotation, name));
    let all = tags.chain(initiator).chain(source).chain(notes);
    let mut labels: Vec<_> = all.map(|(kind, text)| (kind, indexed(text))).collect();
    labels.sort_unstable();
    labels.dedup();
    labels
}

/// The words of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    #[cfg(feature = "sqlite")]
    Sqlite,
    #[cfg(feature = "postgres")]
    Postgres,
}

/// A value of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Int(i64),
    Text(String),
    Ints(Vec<i64>),
    Texts(Vec<String>),
    Id(TaskId),
}

/// A statement that was put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sql {
    pub(crate) text: String,
    pub(crate) values: Vec<Value>,
    dialect: Dialect,
}

impl Sql {
    fn new(dialect: Dialect) -> Self {
        Self {
            text: String::new(),
            values: Vec::new(),
            dialect,
        }
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Appends a placeholder.
    fn bind(&mut self, value: Value) {
        self.values.push(value);
        let number = self.values.len();
        let sign = match self.dialect {
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => '?',
            #[cfg(feature = "postgres")]
            Dialect::Postgres => '$',
        };
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{sign}{number}");
    }

    /// Appends the condition that a column has one of some values.
    fn one_of(&mut self, column: &str, values: Value) {
        self.push(column);
        match self.dialect {
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => {
                self.push(" IN (SELECT value FROM json_each(");
                self.bind(values);
                self.push("))");
            }
            #[cfg(feature = "postgres")]
            Dialect::Postgres => {
                self.push(" = ANY(");
                self.bind(values);
                self.push(")");
            }
        }
    }

    /// Appends the values as rows that have one column, `value`.
    fn rows_of(&mut self, values: Value, alias: &str) {
        let (open, close) = match self.dialect {
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => ("json_each(", format!(") AS {alias}")),
            #[cfg(feature = "postgres")]
            Dialect::Postgres => ("unnest(", format!(") AS {alias} (value)")),
        };
        self.push(open);
        self.bind(values);
        self.push(&close);
    }

    fn int(&mut self, before: &str, value: i64) {
        self.push(before);
        self.bind(Value::Int(value));
    }
}

/// What a list walks.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    /// The tasks that have a label of a kind, one of some.
    Labels(Label, Vec<String>),
    /// The tasks of some templates in some states.
    Rows {
        graphs: Vec<i64>,
        states: Vec<TaskState>,
    },
    /// The tasks whose ids lie between two.
    Ids(TaskId, TaskId),
    /// All tasks.
    All,
}

/// How a list is made.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    query: TaskQuery,
    dialect: Dialect,
    source: Source,
    /// The templates that the filter leaves; `None` for all.
    graphs: Option<Vec<i64>>,
    /// Whether every row that the source has passes the filter, so that there is nothing to compare.
    is_exact: bool,
}

/// Which templates a list is about, to be looked up before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Graphs {
    /// Nothing is said about them.
    Any,
    /// Those that a statement finds, as single numbers.
    Found(Sql),
}

/// Returns which templates a list is about.
pub(crate) fn graphs(query: &TaskQuery, dialect: Dialect) -> Graphs {
    let filter = &query.filter;
    let wanted = [
        (
            "g.namespace = ",
            filter.namespace.as_ref().map(ToString::to_string),
        ),
        ("g.name = ", filter.name.as_ref().map(ToString::to_string)),
        ("g.version = ", filter.version.as_ref().map(ToString::to_string)),
    ];
    let spaces = filter.within.as_ref().and_then(|scopes| {
        let spaces: Option<Vec<String>> = scopes
            .iter()
            .map(|scope| Some(scope.namespace.as_ref()?.to_string()))
            .collect();
        spaces
    });
    let is_any = wanted.iter().all(|(_, value)| value.is_none()) && spaces.is_none();
    if is_any && filter.states.is_empty() {
        return Graphs::Any;
    }
    let mut sql = Sql::new(dialect);
    sql.push("SELECT g.id FROM graphs AS g WHERE true");
    for (column, value) in wanted {
        if let Some(value) = value {
            sql.push(" AND ");
            sql.push(column);
            sql.bind(Value::Text(value));
        }
    }
    if let Some(spaces) = spaces {
        sql.push(" AND ");
        sql.one_of("g.namespace", Value::Texts(spaces));
    }
    Graphs::Found(sql)
}

impl Plan {
    /// Returns how a list is made, given the templates that it is about.
    pub(crate) fn new(query: TaskQuery, dialect: Dialect, graphs: Option<Vec<i64>>) -> Self {
        let filter = &query.filter;
        let states = states_in(filter);
        let owners = filter.within.as_ref().and_then(|scopes| {
            let owners: Option<Vec<String>> = scopes.iter().map(|scope| scope.owner.clone()).collect();
            owners.filter(|owners| !owners.is_empty())
        });
        let label = |kind, text: &String| Source::Labels(kind, vec![indexed(text)]);
        let source = if let Some((low, high)) = id_range(filter) {
            Source::Ids(low, high)
        } else if let Some(tag) = filter.tags.first() {
            label(Label::Tag, tag)
        } else if let Some((name, _)) = filter.annotations.first() {
            label(Label::Annotation, name)
        } else if let Some(name) = &filter.initiator {
            label(Label::Initiator, name)
        } else if let Some(owners) = owners {
            let mut names: Vec<String> = owners.iter().map(|name| indexed(name)).collect();
            names.sort_unstable();
            names.dedup();
            Source::Labels(Label::Initiator, names)
        } else if let Some(name) = &filter.source_system {
            label(Label::SourceSystem, name)
        } else if let Some(graphs) = graphs.clone() {
            Source::Rows { graphs, states }
        } else {
            Source::All
        };
        let is_exact = is_covered(filter, &source);
        Self {
            query,
            dialect,
            source,
            graphs,
            is_exact,
        }
    }

    /// Returns the same for a template, though none be there, so that there is a statement.
    #[cfg(all(test, feature = "postgres"))]
    pub(crate) fn with_some_graph(self) -> Self {
        let graphs = self.graphs.as_ref().map(|_| vec![1]);
        Self::new(self.query, self.dialect, graphs)
    }

    /// Tells whether the filter says what nothing can be.
    fn is_nothing(&self) -> bool {
        let filter = &self.query.filter;
        self.graphs.as_ref().is_some_and(Vec::is_empty)
            || filter.within.as_ref().is_some_and(Vec::is_empty)
            || (filter.id_prefix.is_some() && id_range(filter).is_none())
    }

    /// Returns the statement for the next rows after a place.
    pub(crate) fn rows(&self, after: Option<TaskMark>, limit: usize) -> Sql {
        let by = match self.query.sort {
            TaskSort::Created => "created_at",
            TaskSort::Updated => "updated_at",
            TaskSort::Priority => "priority",
        };
        let (sign, word, first) = match self.query.order {
            SortOrder::Descending => ("<", "DESC", i64::MAX),
            SortOrder::Ascending => (">", "ASC", i64::MIN),
        };
        let after = after.unwrap_or(TaskMark {
            value: first,
            place: first,
        });
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut sql = Sql::new(self.dialect);
        sql.push(
            "SELECT t.key, t.id, g.namespace, g.name, g.version, t.state, t.failure, t.priority, t.origin, t.created_at, \
             t.updated_at, t.started_at, t.finished_at FROM ",
        );
        let next = |sql: &mut Sql, by: &str, key: &str| {
            sql.int(&format!(" AND ({by}, {key}) {sign} ("), after.value);
            sql.int(", ", after.place);
            sql.push(")");
        };
        let ordered = |sql: &mut Sql, by: &str, key: &str| {
            sql.int(&format!(" ORDER BY {by} {word}, {key} {word} LIMIT "), limit);
        };
        let in_order = self.query.sort == TaskSort::Created;
        let lateral = |sql: &mut Sql, streams: &dyn Fn(&mut Sql), inner: &dyn Fn(&mut Sql)| match self.dialect
        {
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => {
                streams(sql);
                sql.push(" CROSS JOIN tasks AS t ON t.key IN (");
                inner(sql);
                sql.push(") CROSS JOIN graphs AS g ON g.id = t.graph");
            }
            #[cfg(feature = "postgres")]
            Dialect::Postgres => {
                streams(sql);
                sql.push(" CROSS JOIN LATERAL (");
                inner(sql);
                sql.push(") AS n (key)");
                sql.push(self.joined());
            }
        };
        match &self.source {
            Source::Rows { graphs, states } if in_order => lateral(
                &mut sql,
                &|sql| {
                    sql.rows_of(Value::Ints(graphs.clone()), "i");
                    sql.push(" CROSS JOIN ");
                    sql.rows_of(states_of(states), "s");
                },
                &|sql| {
                    sql.push("SELECT u.key FROM tasks AS u WHERE u.graph = i.value AND u.state = s.value");
                    next(sql, "u.created_at", "u.key");
                    self.created(sql, "u");
                    ordered(sql, "u.created_at", "u.key");
                },
            ),
            Source::Labels(kind, names) if in_order => lateral(
                &mut sql,
                &|sql| sql.rows_of(Value::Texts(names.clone()), "v"),
                &|sql| {
                    sql.push("SELECT l.task FROM task_labels AS l WHERE l.kind = ");
                    sql.bind(Value::Text(kind.as_str().to_owned()));
                    sql.push(" AND l.value = v.value");
                    next(sql, "l.created_at", "l.task");
                    self.created(sql, "l");
                    ordered(sql, "l.created_at", "l.task");
                },
            ),
            source => {
                // Only who asks for all tasks is to walk along the times.
                let sorted = match source {
                    Source::All => format!("u.{by}"),
                    _ => format!("u.{by} + 0"),
                };
                sql.push("(SELECT u.key FROM tasks AS u WHERE true");
                within(&mut sql, source, "u");
                next(&mut sql, &sorted, "u.key");
                self.created(&mut sql, "u");
                ordered(&mut sql, &sorted, "u.key");
                sql.push(") AS n");
                sql.push(self.joined());
            }
        }
        ordered(&mut sql, &format!("t.{by}"), "t.key");
        sql
    }

    /// Returns what joins the rows to the keys that were found, in this order.
    fn joined(&self) -> &'static str {
        match self.dialect {
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => {
                " CROSS JOIN tasks AS t ON t.key = n.key CROSS JOIN graphs AS g ON g.id = t.graph"
            }
            #[cfg(feature = "postgres")]
            Dialect::Postgres => " JOIN tasks AS t ON t.key = n.key JOIN graphs AS g ON g.id = t.graph",
        }
    }

    /// Appends the time in which tasks were created.
    fn created(&self, sql: &mut Sql, alias: &str) {
        let period = &self.query.filter.created;
        if let Some(after) = period.after {
            sql.int(&format!(" AND {alias}.created_at >= "), after.as_micros());
        }
        if let Some(before) = period.before {
            sql.int(&format!(" AND {alias}.created_at < "), before.as_micros());
        }
    }

    /// Returns the statement that counts all that the filter leaves; `None` if only a look at each row can tell.
    pub(crate) fn counted(&self) -> Option<Sql> {
        let filter = &self.query.filter;
        let named = filter.tags.iter().map(|tag| (Label::Tag, tag));
        let named = named
            .chain(filter.initiator.iter().map(|name| (Label::Initiator, name)))
            .chain(
                filter
                    .source_system
                    .iter()
                    .map(|name| (Label::SourceSystem, name)),
            )
            .chain(
                filter
                    .annotations
                    .iter()
                    .map(|(name, _)| (Label::Annotation, name)),
            );
        let named: Vec<_> = named.collect();
        let is_said = named.iter().all(|(_, text)| is_indexed(text))
            && filter.annotations.iter().all(|(_, value)| value.is_none())
            && filter.context.is_empty()
            && filter.id_prefix.is_none()
            && filter
                .within
                .as_ref()
                .is_none_or(|scopes| scopes.iter().all(|scope| scope.owner.is_none()));
        if !is_said || self.is_nothing() {
            return None;
        }
        let mut sql = Sql::new(self.dialect);
        sql.push("SELECT count(*) FROM ");
        if let (true, Source::Labels(kind, names)) = (self.is_exact, &self.source) {
            sql.push("task_labels AS l WHERE l.kind = ");
            sql.bind(Value::Text(kind.as_str().to_owned()));
            sql.push(" AND ");
            sql.one_of("l.value", Value::Texts(names.clone()));
            self.created(&mut sql, "l");
            return Some(sql);
        }
        sql.push("tasks AS t WHERE true");
        if let Some(graphs) = &self.graphs {
            let rows = Source::Rows {
                graphs: graphs.clone(),
                states: states_in(filter),
            };
            within(&mut sql, &rows, "t");
        }
        for (kind, text) in named {
            sql.push(" AND ");
            labelled(&mut sql, kind, vec![text.clone()], "t");
        }
        self.created(&mut sql, "t");
        if let Some(after) = filter.updated.after {
            sql.int(" AND t.updated_at >= ", after.as_micros());
        }
        if let Some(before) = filter.updated.before {
            sql.int(" AND t.updated_at < ", before.as_micros());
        }
        Some(sql)
    }
}

/// Returns the states that a filter leaves.
fn states_in(filter: &TaskFilter) -> Vec<TaskState> {
    let mut states = match filter.states.as_slice() {
        [] => TaskState::ALL.to_vec(),
        some => some.to_vec(),
    };
    states.sort_unstable_by_key(|state| state.as_str());
    states.dedup();
    states
}

fn states_of(states: &[TaskState]) -> Value {
    Value::Texts(states.iter().map(|state| state.as_str().to_owned()).collect())
}

/// Appends the condition that a task has a label.
fn labelled(sql: &mut Sql, kind: Label, names: Vec<String>, alias: &str) {
    sql.push(alias);
    sql.push(".key IN (SELECT l.task FROM task_labels AS l WHERE l.kind = ");
    sql.bind(Value::Text(kind.as_str().to_owned()));
    sql.push(" AND ");
    sql.one_of("l.value", Value::Texts(names));
    sql.push(")");
}

/// Appends the condition that a task comes from a source.
fn within(sql: &mut Sql, source: &Source, alias: &str) {
    match source {
        Source::Labels(kind, names) => {
            sql.push(" AND ");
            labelled(sql, *kind, names.clone(), alias);
        }
        Source::Rows { graphs, states } => {
            sql.push(" AND ");
            sql.one_of(&format!("{alias}.graph"), Value::Ints(graphs.clone()));
            sql.push(" AND ");
            sql.one_of(&format!("{alias}.state"), states_of(states));
        }
        Source::Ids(low, high) => {
            sql.push(&format!(" AND {alias}.id BETWEEN "));
            sql.bind(Value::Id(*low));
            sql.push(" AND ");
            sql.bind(Value::Id(*high));
        }
        Source::All => {}
    }
}

/// Returns the first and the last id that begin with the digits that were given, if there are any such ids.
fn id_range(filter: &TaskFilter) -> Option<(TaskId, TaskId)> {
    let digits: String = filter.id_prefix.as_ref()?.chars().filter(|c| *c != '-').collect();
    let filled = |digit: &str| {
        let hex = format!("{digits}{}", digit.repeat(32_usize.checked_sub(digits.len())?));
        let number = u128::from_str_radix(&hex, 16).ok()?;
        Some(TaskId::from_bytes(number.to_be_bytes()))
    };
    Some((filled("0")?, filled("f")?))
}

/// Tells whether a filter says no more than a source does.
fn is_covered(filter: &TaskFilter, source: &Source) -> bool {
    let mut rest = filter.clone();
    // Every source keeps to the time of creation.
    rest.created = tasker_engine::Period::default();
    match source {
        Source::Labels(kind, names) if names.iter().all(|name| is_indexed(name)) => match kind {
            Label::Tag => drop(rest.tags.remove(0)),
            Label::Initiator if rest.initiator.is_some() => rest.initiator = None,
            Label::Initiator => {
                let owned = rest
                    .within
                    .as_ref()
                    .is_some_and(|scopes| scopes.iter().all(|scope| scope.namespace.is_none()));
                rest.within.take_if(|_| owned);
            }
            Label::SourceSystem => rest.source_system = None,
            Label::Annotation if rest.annotations[0].1.is_none() => drop(rest.annotations.remove(0)),
            Label::Annotation => {}
        },
        Source::Rows { .. } => {
            (rest.namespace, rest.name, rest.version) = (None, None, None);
            rest.states.clear();
            let spaces = rest
                .within
                .as_ref()
                .is_some_and(|scopes| scopes.iter().all(|scope| scope.owner.is_none()));
            rest.within.take_if(|_| spaces);
        }
        Source::Ids(..) => rest.id_prefix = None,
        _ => {}
    }
    rest == TaskFilter::default()
}

/// A task as a list finds it.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) key: i64,
    pub(crate) id: TaskId,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) state: TaskState,
    pub(crate) failure: Option<FailureReason>,
    pub(crate) priority: i16,
    pub(crate) origin: Origin,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
}

impl Found {
    fn listed(&self) -> Listed<'_> {
        Listed {
            id: self.id,
            state: self.state,
            namespace: &self.namespace,
            name: &self.name,
            version: &self.version,
            origin: &self.origin,
            priority: self.priority,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }

    fn summary(self, steps: Steps) -> TaskSummary {
        TaskSummary {
            task_id: self.id,
            name: format!("{}.{}@{}", self.namespace, self.name, self.version),
            state: self.state,
            failure: self.failure,
            priority: self.priority,
            tags: self.origin.tags,
            completed_steps: steps.done,
            total_steps: steps.all,
            created_at: self.created_at,
            updated_at: self.updated_at,
            started_at: self.started_at,
            finished_at: self.finished_at,
        }
    }
}

/// How many steps a task has.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Steps {
    pub(crate) all: u64,
    pub(crate) done: u64,
}

/// A page that is being put together, or all that a filter leaves being counted.
///
/// It says which rows to read next, and is given them.
#[derive(Debug)]
pub(crate) struct Gathering {
    plan: Plan,
    aim: Aim,
    found: Vec<Found>,
    count: u64,
    /// How many rows were read, and how many the last statement asked for.
    read: usize,
    asked: usize,
    last: Option<TaskMark>,
    is_over: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aim {
    Page,
    Count,
}

impl Gathering {
    /// Returns the beginning of a page.
    pub(crate) fn page(plan: &Plan) -> Self {
        Self::new(plan, Aim::Page, plan.query.after)
    }

    /// Returns the beginning of a count of all that the filter leaves.
    pub(crate) fn count(plan: &Plan) -> Self {
        Self::new(plan, Aim::Count, None)
    }

    fn new(plan: &Plan, aim: Aim, last: Option<TaskMark>) -> Self {
        Self {
            plan: plan.clone(),
            aim,
            found: Vec::new(),
            count: 0,
            read: 0,
            asked: 0,
            last,
            is_over: plan.is_nothing(),
        }
    }

    /// Returns the statement for the next rows; `None` when there are enough, or there have been too many.
    pub(crate) fn next(&mut self) -> Option<Sql> {
        let goes_on = match self.aim {
            Aim::Page => self.found.len() <= self.plan.query.limit as usize && self.read < MOST,
            Aim::Count => true,
        };
        if self.is_over || !goes_on {
            return None;
        }
        let page = (self.plan.query.limit as usize).saturating_add(1);
        self.asked = match (self.aim, self.plan.is_exact, self.read) {
            (Aim::Page, true, _) | (Aim::Page, false, 0) => page,
            _ => CHUNK,
        };
        Some(self.plan.rows(self.last, self.asked))
    }

    /// Returns the rows of which the contexts are needed: those that pass but for their contexts, if these are compared.
    pub(crate) fn unsure(&self, rows: &[Found]) -> Vec<i64> {
        let filter = &self.plan.query.filter;
        if filter.context.is_empty() {
            return Vec::new();
        }
        let rows = rows
            .iter()
            .filter(|row| filter.passes_but_for_context(&row.listed()));
        rows.map(|row| row.key).collect()
    }

    /// Takes the rows that were asked for, with the contexts that are needed.
    pub(crate) fn take(&mut self, rows: Vec<Found>, mut contexts: BTreeMap<i64, Json>) {
        self.read += rows.len();
        self.is_over = rows.len() < self.asked;
        for row in rows {
            self.last = Some(self.mark(&row));
            let passes = self
                .plan
                .query
                .filter
                .passes(&row.listed(), || contexts.remove(&row.key));
            if !passes {
                continue;
            }
            self.count += 1;
            if self.aim == Aim::Page {
                self.found.push(row);
            }
        }
    }

    fn mark(&self, row: &Found) -> TaskMark {
        row.listed().mark(self.plan.query.sort, row.key)
    }

    /// Returns how many tasks there are.
    pub(crate) fn total(&self) -> u64 {
        self.count
    }

    /// Returns the tasks of the page, whose steps are to be counted.
    pub(crate) fn keys(&self) -> Vec<i64> {
        let page = self.found.iter().take(self.plan.query.limit as usize);
        page.map(|found| found.key).collect()
    }

    /// Returns the page.
    pub(crate) fn finish(self, steps: &BTreeMap<i64, Steps>, total: Option<u64>) -> TaskPage {
        let limit = self.plan.query.limit as usize;
        let next = match self.found.get(limit) {
            Some(_) => match limit.checked_sub(1) {
                Some(last) => Some(self.mark(&self.found[last])),
                None => self.plan.query.after,
            },
            None => self.last.filter(|_| !self.is_over),
        };
        let tasks = self.found.into_iter().take(limit);
        let summary = |found: Found| {
            let steps = steps.get(&found.key).copied().unwrap_or_default();
            found.summary(steps)
        };
        TaskPage {
            tasks: tasks.map(summary).collect(),
            next,
            total,
        }
    }
}

/// Returns requests for lists by everything that lists are often filtered by.
#[cfg(test)]
pub(crate) fn examples() -> Vec<TaskQuery> {
    let text = |text: &str| Some(text.to_owned());
    let filters: [&dyn Fn(&mut TaskFilter); 9] = [
        &|_| {},
        &|filter| filter.states = vec![TaskState::Error, TaskState::Pending],
        &|filter| {
            filter.namespace = "payments".parse().ok();
            filter.name = "process_refund".parse().ok();
        },
        &|filter| {
            filter.namespace = "payments".parse().ok();
            filter.states = vec![TaskState::Error];
        },
        &|filter| filter.tags = vec!["vip".to_owned(), "eu".to_owned()],
        &|filter| filter.initiator = text("ann"),
        &|filter| filter.source_system = text("shop"),
        &|filter| filter.annotations = vec![("ticket".to_owned(), None)],
        &|filter| {
            let owner = |name: &str| tasker_engine::TaskScope {
                owner: Some(name.to_owned()),
                ..tasker_engine::TaskScope::default()
            };
            filter.within = Some(vec![owner("ann"), owner("bob")]);
        },
    ];
    let mut queries = Vec::new();
    for set in filters {
        for after in [None, Some(Timestamp::from_micros(1))] {
            for order in SortOrder::ALL {
                let mut filter = TaskFilter::default();
                set(&mut filter);
                filter.created.after = after;
                filter.created.before = after.map(|after| after.plus(std::time::Duration::from_secs(9)));
                queries.push(TaskQuery {
                    order,
                    count: true,
                    ..TaskQuery::new(filter, 20)
                });
            }
        }
    }
    queries
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use super::*;

    fn row(key: i64) -> Found {
        Found {
            key,
            id: TaskId::from_bytes([0; 16]),
            namespace: "payments".to_owned(),
            name: "refund".to_owned(),
            version: "1.0.0".to_owned(),
            state: if key % 4_000 == 0 {
                TaskState::Error
            } else {
                TaskState::Complete
            },
            failure: None,
            priority: 0,
            origin: Origin {
                tags: vec!["eu".to_owned()],
                ..Origin::default()
            },
            created_at: Timestamp::from_micros(key),
            updated_at: Timestamp::from_micros(key),
            started_at: None,
            finished_at: None,
        }
    }

    /// Gathers a page of a list whose tasks have the keys below a number, as a database would hand them out.
    fn gathered(mut gathering: Gathering, tasks: i64) -> (usize, Gathering) {
        let mut statements = 0;
        while gathering.next().is_some() {
            statements += 1;
            let first = gathering.last.map_or(tasks, |last| last.place) - 1;
            let keys = (0..=first).rev().take(gathering.asked);
            gathering.take(keys.map(row).collect(), BTreeMap::new());
        }
        (statements, gathering)
    }

    fn query(set: impl FnOnce(&mut TaskFilter)) -> TaskQuery {
        let mut filter = TaskFilter::default();
        set(&mut filter);
        TaskQuery::new(filter, 20)
    }

    fn plan(query: TaskQuery) -> Plan {
        Plan::new(query, Dialect::Sqlite, None)
    }

    #[test]
    fn a_page_is_one_statement_where_the_index_says_everything() {
        let plan = plan(query(|filter| filter.tags = vec!["eu".to_owned()]));
        assert!(plan.is_exact);
        let (statements, page) = gathered(Gathering::page(&plan), 1_000_000);
        assert_eq!((statements, page.read), (1, 21));
        let page = page.finish(&BTreeMap::new(), None);
        assert_eq!(page.tasks.len(), 20);
        assert_eq!(page.next.map(|next| next.place), Some(999_980));
    }

    #[test]
    fn a_page_that_looked_at_too_many_rows_ends_early_and_the_next_goes_on() {
        let errors = || {
            query(|filter| {
                filter.tags = vec!["eu".to_owned()];
                filter.states = vec![TaskState::Error];
            })
        };
        let (mut found, mut pages, mut after) = (Vec::new(), 0, None);
        loop {
            let plan = plan(TaskQuery { after, ..errors() });
            assert!(!plan.is_exact);
            let (_, page) = gathered(Gathering::page(&plan), 100_000);
            assert!(page.read <= MOST + CHUNK, "{}", page.read);
            pages += 1;
            found.extend(page.keys());
            after = page.finish(&BTreeMap::new(), None).next;
            if after.is_none() {
                break;
            }
        }
        let expected: Vec<i64> = (0..100_000).rev().filter(|key| key % 4_000 == 0).collect();
        assert_eq!(found, expected);
        assert!(pages >= 9, "{pages}");
        let (_, count) = gathered(Gathering::count(&plan(errors())), 100_000);
        assert_eq!(count.total(), 25);
    }

    #[test]
    fn what_an_index_cannot_hold_is_compared() {
        let by = |name: &str| plan(query(|filter| filter.initiator = Some(name.to_owned())));
        assert!(by("ann").is_exact && by(&"ü".repeat(254)).is_exact);
        for name in [&"ü".repeat(255), "a\0", "a\u{FFFD}"] {
            let plan = by(name);
            assert!(!plan.is_exact && plan.counted().is_none(), "{name:?}");
        }
    }
}
