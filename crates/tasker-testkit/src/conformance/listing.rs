//! Lists of tasks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tasker_engine::{
    Clock, Demand, Description, Json, Period, Snapshot, SortOrder, StepBuilder, TaskFilter, TaskPage,
    TaskQuery, TaskScope, TaskSort, TaskSummary, Template,
};
use tasker_types::{StepState, TaskId, TaskState};

use super::{A, pair};
use crate::harness::Harness;
use crate::outcome::{fail_permanently, succeed};
use crate::shapes;

/// What a filter is to leave.
type Passes = Box<dyn Fn(&Snapshot) -> bool>;

const NAMESPACES: [&str; 2] = ["payments", "shipping"];
const NAMES: [&str; 2] = ["process", "check"];
const VERSIONS: [&str; 2] = ["1.0.0", "2.1.0"];
const PEOPLE: [&str; 3] = ["ann", "bob", "cleo"];

fn all() -> TaskQuery {
    TaskQuery::new(TaskFilter::default(), 1_000)
}

fn template(namespace: &str, name: &str, version: &str) -> Arc<Template> {
    let builder = Template::builder(name).namespace(namespace).version(version);
    builder.step(StepBuilder::new("a", "any")).build().unwrap()
}

/// Creates tasks that differ in everything by which lists can be filtered, several at each moment, and has some of them end.
/// Returns them in the order of their creation.
async fn scene(h: &Harness) -> Vec<TaskId> {
    let mut ids = Vec::new();
    for number in 0..48_usize {
        let mut task = h.new_task(template(
            NAMESPACES[number % 2],
            NAMES[number / 2 % 2],
            VERSIONS[number / 4 % 2],
        ));
        task.priority = i16::try_from(number % 5).unwrap() - 2;
        task.context = Json::from(&json!({ "customer": { "id": number % 4, "name": PEOPLE[number % 3] } }));
        let origin = &mut task.origin;
        origin.initiator = (number % 4 != 0).then(|| PEOPLE[number % 3].to_owned());
        origin.source_system = (number % 3 == 0).then(|| "shop".to_owned());
        for (every, tag) in [(2, "even"), (3, "third"), (40, "rare")] {
            if number % every == 0 {
                origin.tags.push(tag.to_owned());
            }
        }
        if number % 6 == 1 {
            origin.annotations.insert("ticket".to_owned(), json!(number % 12));
        }
        ids.push(task.id);
        h.create_all(vec![task]).await;
        if number % 3 == 2 {
            h.pass(7);
        }
    }
    let claims = h.claim(20).await;
    h.pass(1);
    h.turn(claims[..8].iter().map(succeed).collect(), 0).await;
    h.pass(1);
    h.turn(claims[8..12].iter().map(fail_permanently).collect(), 0)
        .await;
    h.demand(ids[45], Demand::CancelTask).await;
    h.pass(1);
    h.demand(ids[3], Demand::SetPriority(1)).await;
    h.demand(ids[40], Demand::Describe(Description::new().tags(["late"])))
        .await;
    ids
}

/// Returns filters with what they are to leave.
fn filters(h: &Harness, tasks: &[Snapshot]) -> Vec<(TaskFilter, Passes)> {
    fn filter(set: impl FnOnce(&mut TaskFilter)) -> TaskFilter {
        let mut filter = TaskFilter::default();
        set(&mut filter);
        filter
    }
    let namespace = |text: &str| Some(text.parse().unwrap());
    let name = |text: &str| Some(text.parse().unwrap());
    let text = |text: &str| Some(text.to_owned());
    let has = |tag: &'static str| move |task: &Snapshot| task.task.origin.tags.iter().any(|own| own == tag);
    let is =
        |person: &'static str| move |task: &Snapshot| task.task.origin.initiator.as_deref() == Some(person);
    let lies = |space: &'static str| move |task: &Snapshot| task.task.template.namespace().as_str() == space;
    let customer = |task: &Snapshot, key: &str| task.task.context.to_value()["customer"][key].clone();
    let (middle, end) = (tasks[20].task.created_at, tasks[30].task.created_at);
    let changed = h.clock.now();
    let mut filters: Vec<(TaskFilter, Passes)> = vec![(TaskFilter::default(), Box::new(|_| true))];
    for state in TaskState::ALL.iter().copied() {
        filters.push((
            filter(|f| f.states = vec![state]),
            Box::new(move |task| task.task.state == state),
        ));
    }
    filters.push((
        filter(|f| f.states = vec![TaskState::Error, TaskState::Pending, TaskState::Error]),
        Box::new(|task| matches!(task.task.state, TaskState::Error | TaskState::Pending)),
    ));
    filters.push((
        filter(|f| f.namespace = namespace("payments")),
        Box::new(lies("payments")),
    ));
    filters.push((
        filter(|f| f.namespace = namespace("nowhere")),
        Box::new(|_| false),
    ));
    filters.push((
        filter(|f| f.name = name("check")),
        Box::new(|task| task.task.template.name().as_str() == "check"),
    ));
    filters.push((
        filter(|f| (f.namespace, f.name) = (namespace("shipping"), name("process"))),
        Box::new(|task| {
            let template = &task.task.template;
            template.namespace().as_str() == "shipping" && template.name().as_str() == "process"
        }),
    ));
    filters.push((
        filter(|f| f.version = Some("2.1.0".parse().unwrap())),
        Box::new(|task| task.task.template.version().to_string() == "2.1.0"),
    ));
    filters.push((
        filter(|f| (f.namespace, f.states) = (namespace("payments"), vec![TaskState::Complete])),
        Box::new(move |task| lies("payments")(task) && task.task.state == TaskState::Complete),
    ));
    filters.push((filter(|f| f.initiator = text("ann")), Box::new(is("ann"))));
    filters.push((filter(|f| f.initiator = text("an")), Box::new(|_| false)));
    filters.push((
        filter(|f| f.source_system = text("shop")),
        Box::new(|task| task.task.origin.source_system.is_some()),
    ));
    for tag in ["even", "third", "rare", "late"] {
        filters.push((filter(|f| f.tags = vec![tag.to_owned()]), Box::new(has(tag))));
    }
    filters.push((filter(|f| f.tags = vec!["never".to_owned()]), Box::new(|_| false)));
    filters.push((
        filter(|f| f.tags = vec!["even".to_owned(), "third".to_owned()]),
        Box::new(move |task| has("even")(task) && has("third")(task)),
    ));
    filters.push((
        filter(|f| {
            f.tags = vec!["even".to_owned()];
            f.states = vec![TaskState::Pending];
            f.namespace = namespace("payments");
            f.initiator = text("bob");
        }),
        Box::new(move |task| {
            has("even")(task)
                && task.task.state == TaskState::Pending
                && lies("payments")(task)
                && is("bob")(task)
        }),
    ));
    let noted = |wanted: Option<Value>| {
        move |task: &Snapshot| {
            let value = task.task.origin.annotations.get("ticket");
            value.is_some_and(|value| wanted.as_ref().is_none_or(|wanted| wanted == value))
        }
    };
    for value in [None, Some(json!(7)), Some(json!("7"))] {
        filters.push((
            filter(|f| f.annotations = vec![("ticket".to_owned(), value.clone())]),
            Box::new(noted(value)),
        ));
    }
    filters.push((
        filter(|f| f.context = vec!["customer.id=2".parse().unwrap()]),
        Box::new(move |task| customer(task, "id") == json!(2)),
    ));
    filters.push((
        filter(|f| {
            f.context = vec![
                "customer.id=2".parse().unwrap(),
                "customer.name=bob".parse().unwrap(),
            ];
            f.namespace = namespace("payments");
        }),
        Box::new(move |task| {
            customer(task, "id") == json!(2)
                && customer(task, "name") == json!("bob")
                && lies("payments")(task)
        }),
    ));
    filters.push((
        filter(|f| f.context = vec!["customer.age".parse().unwrap()]),
        Box::new(|_| false),
    ));
    let period = move |after, before| Period { after, before };
    for (from, to) in [
        (Some(middle), None),
        (None, Some(middle)),
        (Some(middle), Some(end)),
        (Some(end), Some(middle)),
    ] {
        let created = period(from, to);
        filters.push((
            filter(|f| f.created = created),
            Box::new(move |task| created.has(task.task.created_at)),
        ));
        filters.push((
            filter(|f| (f.created, f.tags) = (created, vec!["even".to_owned()])),
            Box::new(move |task| created.has(task.task.created_at) && has("even")(task)),
        ));
        filters.push((
            filter(|f| (f.created, f.states) = (created, vec![TaskState::Pending])),
            Box::new(move |task| created.has(task.task.created_at) && task.task.state == TaskState::Pending),
        ));
    }
    let updated = period(Some(changed), None);
    filters.push((
        filter(|f| f.updated = updated),
        Box::new(move |task| updated.has(task.task.updated_at)),
    ));
    let prefix = tasks[9].task.id.to_string();
    filters.push((
        filter(|f| f.id_prefix = Some(prefix[..20].to_uppercase())),
        Box::new(move |task| task.task.id.to_string().starts_with(&prefix[..20])),
    ));
    filters.push((filter(|f| f.id_prefix = text("ffff")), Box::new(|_| false)));
    filters.push((filter(|f| f.id_prefix = text("0")), Box::new(|_| true)));
    let scope = |space: Option<&str>, owner: Option<&str>| TaskScope {
        namespace: space.map(|text| text.parse().unwrap()),
        owner: owner.map(str::to_owned),
    };
    filters.push((filter(|f| f.within = Some(Vec::new())), Box::new(|_| false)));
    filters.push((
        filter(|f| f.within = Some(vec![scope(Some("shipping"), None), scope(Some("nowhere"), None)])),
        Box::new(lies("shipping")),
    ));
    filters.push((
        filter(|f| f.within = Some(vec![scope(None, Some("ann")), scope(None, Some("bob"))])),
        Box::new(move |task| is("ann")(task) || is("bob")(task)),
    ));
    filters.push((
        filter(|f| {
            f.within = Some(vec![
                scope(Some("payments"), Some("ann")),
                scope(None, Some("bob")),
            ])
        }),
        Box::new(move |task| (lies("payments")(task) && is("ann")(task)) || is("bob")(task)),
    ));
    filters.push((
        filter(|f| {
            f.within = Some(vec![scope(Some("payments"), None), scope(None, Some("bob"))]);
            f.initiator = text("ann");
        }),
        Box::new(move |task| lies("payments")(task) && is("ann")(task)),
    ));
    filters
}

/// Returns what a list is sorted by.
fn value(task: &Snapshot, sort: TaskSort) -> i64 {
    match sort {
        TaskSort::Created => task.task.created_at.as_micros(),
        TaskSort::Updated => task.task.updated_at.as_micros(),
        TaskSort::Priority => i64::from(task.task.priority),
    }
}

/// Returns the ids that a list is to have, given all tasks in the order of their creation.
fn expected(tasks: &[Snapshot], passes: &dyn Fn(&Snapshot) -> bool, query: &TaskQuery) -> Vec<TaskId> {
    let passing = tasks.iter().enumerate().filter(|(_, task)| passes(task));
    let mut found: Vec<(i64, usize, TaskId)> = passing
        .map(|(place, task)| (value(task, query.sort), place, task.task.id))
        .collect();
    found.sort_unstable();
    if query.order == SortOrder::Descending {
        found.reverse();
    }
    found.into_iter().map(|(.., id)| id).collect()
}

async fn page(h: &Harness, query: &TaskQuery) -> TaskPage {
    let page = h.store.list(query.clone()).await.unwrap();
    assert!(page.tasks.len() <= query.limit as usize);
    page
}

fn ids(tasks: &[TaskSummary]) -> Vec<TaskId> {
    tasks.iter().map(|task| task.task_id).collect()
}

/// Returns what all pages of a list have, joined.
async fn joined(h: &Harness, query: &TaskQuery) -> Vec<TaskId> {
    let mut query = query.clone();
    let mut found = Vec::new();
    loop {
        let page = page(h, &query).await;
        found.extend(ids(&page.tasks));
        match page.next {
            Some(next) => query.after = Some(next),
            None => return found,
        }
    }
}

async fn look(h: &Harness, tasks: &[TaskId]) -> Vec<Snapshot> {
    let mut found = Vec::new();
    for task in tasks {
        found.push(h.snapshot(*task).await);
    }
    found
}

pub(super) async fn a_list_has_the_newest_task_first(h: &Harness) {
    assert_eq!(page(h, &all()).await, TaskPage::default());
    let first = h.create(shapes::linear(2)).await;
    h.pass(5);
    let second = h.create(pair()).await;
    let third = h.create(pair()).await;
    let listed = page(h, &all()).await;
    assert_eq!(ids(&listed.tasks), [third, second, first]);
    assert_eq!((listed.next, listed.total), (None, None));
}

pub(super) async fn a_list_says_how_far_tasks_are(h: &Harness) {
    let mut task = h.new_task(pair());
    (task.priority, task.origin.tags) = (4, vec!["vip".to_owned(), "eu".to_owned()]);
    let id = task.id;
    h.create_all(vec![task]).await;
    let claims = h.claim(2).await;
    h.pass(3);
    h.turn(vec![succeed(&claims[0]), fail_permanently(&claims[1])], 0)
        .await;
    let record = h.snapshot(id).await.task;
    let listed = page(h, &all()).await.tasks;
    assert_eq!(
        listed,
        [TaskSummary {
            task_id: id,
            name: record.template.full_name(),
            state: TaskState::Error,
            failure: record.failure,
            priority: 4,
            tags: vec!["vip".to_owned(), "eu".to_owned()],
            completed_steps: 1,
            total_steps: 2,
            created_at: record.created_at,
            updated_at: record.updated_at,
            started_at: record.started_at,
            finished_at: record.finished_at,
        }]
    );
    assert!(record.failure.is_some() && record.started_at.is_some() && record.finished_at.is_some());
    h.demand(id, Demand::ResolveStep(claims[1].lease.step, None))
        .await;
    let listed = &page(h, &all()).await.tasks[0];
    assert_eq!((listed.state, listed.completed_steps), (TaskState::Complete, 2));
}

pub(super) async fn each_filter_leaves_what_it_says(h: &Harness) {
    let tasks = scene(h).await;
    let tasks = look(h, &tasks).await;
    let states: BTreeMap<&str, usize> = tasks.iter().fold(BTreeMap::new(), |mut states, task| {
        *states.entry(task.task.state.as_str()).or_default() += 1;
        states
    });
    assert!(states.len() >= 5, "{states:?}");
    for (number, (filter, passes)) in filters(h, &tasks).into_iter().enumerate() {
        let mut query = TaskQuery {
            count: true,
            ..TaskQuery::new(filter, 1_000)
        };
        query.sort = TaskSort::ALL[number % 3];
        let expected = expected(&tasks, &passes, &query);
        let listed = page(h, &query).await;
        assert_eq!(ids(&listed.tasks), expected, "{query:?}");
        assert_eq!(
            (listed.next, listed.total),
            (None, Some(expected.len() as u64)),
            "{query:?}"
        );
    }
}

pub(super) async fn a_list_is_sorted_as_it_is_asked_for(h: &Harness) {
    let tasks = scene(h).await;
    let tasks = look(h, &tasks).await;
    let some: [(TaskFilter, Passes); 3] = [
        (TaskFilter::default(), Box::new(|_| true)),
        (
            TaskFilter {
                states: vec![TaskState::Pending, TaskState::Complete],
                ..TaskFilter::default()
            },
            Box::new(|task| matches!(task.task.state, TaskState::Pending | TaskState::Complete)),
        ),
        (
            TaskFilter {
                tags: vec!["even".to_owned()],
                ..TaskFilter::default()
            },
            Box::new(|task| task.task.origin.tags.contains(&"even".to_owned())),
        ),
    ];
    for (filter, passes) in &some {
        for sort in TaskSort::ALL {
            for order in SortOrder::ALL {
                let query = TaskQuery {
                    sort,
                    order,
                    ..TaskQuery::new(filter.clone(), 1_000)
                };
                let expected = expected(&tasks, passes, &query);
                assert_eq!(joined(h, &query).await, expected, "{query:?}");
                let short = TaskQuery { limit: 5, ..query };
                assert_eq!(joined(h, &short).await, expected, "{short:?}");
            }
        }
    }
}

pub(super) async fn pages_joined_are_the_list(h: &Harness) {
    let tasks = scene(h).await;
    let tasks = look(h, &tasks).await;
    for (number, (filter, passes)) in filters(h, &tasks).into_iter().enumerate() {
        let query = TaskQuery {
            sort: TaskSort::ALL[(number + 1) % 3],
            order: SortOrder::ALL[number / 2 % 2],
            ..TaskQuery::new(filter, [1, 2, 3, 7, 16][number % 5])
        };
        let expected = expected(&tasks, &passes, &query);
        assert_eq!(joined(h, &query).await, expected, "{query:?}");
    }
}

pub(super) async fn a_total_does_not_depend_on_the_page(h: &Harness) {
    let tasks = scene(h).await;
    let query = TaskQuery {
        count: true,
        ..TaskQuery::new(TaskFilter::default(), 10)
    };
    let first = page(h, &query).await;
    let second = page(
        h,
        &TaskQuery {
            after: first.next,
            ..query.clone()
        },
    )
    .await;
    let none = page(h, &TaskQuery { limit: 0, ..query }).await;
    let total = Some(tasks.len() as u64);
    assert_eq!([first.total, second.total, none.total], [total; 3]);
    assert_eq!(
        (first.tasks.len(), second.tasks.len(), none.tasks.len()),
        (10, 10, 0)
    );
}

/// Whatever is created between two pages, each task that was there before is in one of them.
pub(super) async fn no_task_is_skipped_or_repeated_while_others_are_created(h: &Harness) {
    let tasks = scene(h).await;
    let tasks = look(h, &tasks).await;
    for (sort, order) in [
        (TaskSort::Created, SortOrder::Descending),
        (TaskSort::Created, SortOrder::Ascending),
        (TaskSort::Updated, SortOrder::Descending),
        (TaskSort::Priority, SortOrder::Descending),
        (TaskSort::Priority, SortOrder::Ascending),
    ] {
        let mut query = TaskQuery {
            sort,
            order,
            ..TaskQuery::new(TaskFilter::default(), 5)
        };
        let expected = expected(&tasks, &|_| true, &query);
        let mut found = Vec::new();
        for number in 0.. {
            let page = page(h, &query).await;
            found.extend(ids(&page.tasks));
            let Some(next) = page.next else { break };
            query.after = Some(next);
            // The list grows at its end meanwhile, but not for ever.
            if number < 12 {
                let mut task = h.new_task(pair());
                task.priority = i16::try_from(number % 6).unwrap() - 3;
                h.create_all(vec![task]).await;
                h.pass(1);
            }
        }
        let mut once = found.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), found.len(), "{sort:?} {order:?}");
        found.retain(|id| expected.contains(id));
        assert_eq!(found, expected, "{sort:?} {order:?}");
    }
}

pub(super) async fn a_task_is_found_by_what_is_said_of_it_now(h: &Harness) {
    let mut task = h.new_task(pair());
    task.origin.tags = vec!["old".to_owned(), "kept".to_owned()];
    task.origin.annotations.insert("ticket".to_owned(), json!(1));
    let id = task.id;
    h.create_all(vec![task]).await;
    h.pass(1);
    let change = Description::new()
        .tags(["kept", "new"])
        .annotate("agent", json!("ann"))
        .without("ticket");
    h.demand(id, Demand::Describe(change)).await;
    let found = async |tag: Option<&str>, note: Option<&str>| {
        let filter = TaskFilter {
            tags: tag.iter().map(ToString::to_string).collect(),
            annotations: note.iter().map(|name| ((*name).to_owned(), None)).collect(),
            ..TaskFilter::default()
        };
        let query = TaskQuery {
            count: true,
            ..TaskQuery::new(filter, 9)
        };
        let page = page(h, &query).await;
        assert_eq!(page.total, Some(page.tasks.len() as u64));
        page.tasks.len()
    };
    assert_eq!(found(Some("old"), None).await, 0);
    assert_eq!(found(Some("kept"), None).await, 1);
    assert_eq!(found(Some("new"), None).await, 1);
    assert_eq!(found(None, Some("ticket")).await, 0);
    assert_eq!(found(None, Some("agent")).await, 1);
}

/// An index may have to cut or replace what it cannot hold; a list tells them apart all the same.
pub(super) async fn odd_names_are_found_and_told_apart(h: &Harness) {
    let long = "ü".repeat(400);
    let names = [
        format!("{long}a"),
        format!("{long}b"),
        "nul\0".to_owned(),
        "nul\u{FFFD}".to_owned(),
        String::new(),
    ];
    let mut tasks = Vec::new();
    for name in &names {
        let mut task = h.new_task(pair());
        task.origin.initiator = Some(name.clone());
        task.origin.source_system = Some(name.clone());
        tasks.push(task);
    }
    let created: Vec<_> = tasks.iter().map(|task| task.id).collect();
    h.create_all(tasks).await;
    for (name, id) in names.iter().zip(created) {
        let by_initiator = TaskFilter {
            initiator: Some(name.clone()),
            ..TaskFilter::default()
        };
        let by_system = TaskFilter {
            source_system: Some(name.clone()),
            ..TaskFilter::default()
        };
        for filter in [by_initiator, by_system] {
            let query = TaskQuery {
                count: true,
                ..TaskQuery::new(filter, 9)
            };
            let page = page(h, &query).await;
            assert_eq!((ids(&page.tasks), page.total), (vec![id], Some(1)), "{name:?}");
        }
    }
}

pub(super) async fn what_is_said_or_done_of_a_task_updates_it(h: &Harness) {
    let task = h.create(shapes::linear(2)).await;
    let updated = async || h.snapshot(task).await.task.updated_at;
    assert_eq!(updated().await, h.clock.now());
    h.pass(1);
    let claim = h.claim_one().await;
    let started = h.clock.now();
    assert_eq!(updated().await, started);
    // The end of a step is none of the task, and neither are the settings of steps.
    h.pass(1);
    h.end(succeed(&claim)).await;
    let last = h
        .snapshot(task)
        .await
        .steps
        .iter()
        .position(|step| step.state == StepState::Pending);
    assert!(last.is_some());
    let demand = Demand::SetTimeout(tasker_types::StepNo(1), Some(Duration::from_secs(5)));
    h.demand(task, demand).await;
    assert_eq!(updated().await, started);
    for demand in [
        Demand::SetPriority(3),
        Demand::Describe(Description::new().reason("because")),
        Demand::CancelTask,
    ] {
        h.pass(1);
        h.demand(task, demand).await;
        assert_eq!(updated().await, h.clock.now());
    }
    let other = h.create(shapes::single()).await;
    h.pass(1);
    let claim = h.claim_one().await;
    h.pass(1);
    h.end(fail_permanently(&claim)).await;
    let updated = async || h.snapshot(other).await.task.updated_at;
    assert_eq!(updated().await, h.clock.now());
    h.pass(1);
    h.demand(other, Demand::RetryTask).await;
    assert_eq!(updated().await, h.clock.now());
    h.pass(1);
    h.demand(other, Demand::ResolveStep(A, None)).await;
    assert_eq!(updated().await, h.clock.now());
    let newest = TaskQuery {
        sort: TaskSort::Updated,
        ..all()
    };
    assert_eq!(ids(&page(h, &newest).await.tasks), [other, task]);
}

pub(super) async fn the_secret_of_cursors_is_the_first_one(h: &Harness) {
    let (first, second) = ([7; 32], [8; 32]);
    assert_eq!(h.store.cursor_secret(first).await.unwrap(), first);
    assert_eq!(h.store.cursor_secret(second).await.unwrap(), first);
}
