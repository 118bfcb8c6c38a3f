-- Times are microseconds since 1970-01-01T00:00:00Z. Ids that the outside sees are the 16 bytes of a UUID of version 7;
-- inside, tasks have short integer keys. JSON is text. Comments inside of a table's text stay in the database.

CREATE TABLE tasker_schema (
    -- The one row that says which programs may use this database.
    id             INTEGER NOT NULL PRIMARY KEY, -- Always 1.
    version        INTEGER NOT NULL, -- The version of the schema.
    oldest_program INTEGER NOT NULL, -- The lowest schema version that a program must know to use it.
    CONSTRAINT tasker_schema_id_check CHECK (id = 1)
) STRICT;
INSERT INTO tasker_schema (id, version, oldest_program) VALUES (1, 1, 1);

CREATE TABLE secrets (
    -- What must be the same for all processes, and known to nobody else.
    name  TEXT NOT NULL, -- What it is for: `cursors`.
    value BLOB NOT NULL, -- The secret.
    CONSTRAINT secrets_pkey PRIMARY KEY (name)
) STRICT, WITHOUT ROWID;

CREATE TABLE graphs (
    -- Templates as tasks keep them: equal ones once.
    id        INTEGER NOT NULL PRIMARY KEY, -- The graph's key.
    namespace TEXT NOT NULL, -- The namespace that owns the template.
    name      TEXT NOT NULL, -- The template's name.
    version   TEXT NOT NULL, -- The template's version.
    digest    TEXT NOT NULL, -- The SHA-256 of the body.
    body      TEXT NOT NULL, -- The template as canonical JSON.
    CONSTRAINT graphs_digest_key UNIQUE (digest)
) STRICT;
CREATE INDEX graphs_namespace_name_version_index ON graphs (namespace, name, version);

CREATE TABLE graph_edges (
    -- Which step waits for which, once for all tasks of a graph.
    graph     INTEGER NOT NULL, -- The graph.
    from_step INTEGER NOT NULL, -- The step that must be done first.
    to_step   INTEGER NOT NULL, -- The step that waits for it.
    CONSTRAINT graph_edges_pkey PRIMARY KEY (graph, from_step, to_step),
    CONSTRAINT graph_edges_graph_fkey FOREIGN KEY (graph) REFERENCES graphs (id)
) STRICT, WITHOUT ROWID;

CREATE TABLE queues (
    -- Where steps wait for a worker: one queue for each handler that a namespace's templates name.
    id          INTEGER NOT NULL PRIMARY KEY, -- The queue's key.
    namespace   TEXT NOT NULL, -- The namespace of the templates.
    handler     TEXT NOT NULL, -- The handler as the templates name it.
    last_served INTEGER NOT NULL DEFAULT 0, -- The number of the last hand-out that this queue's namespace had a part in.
    CONSTRAINT queues_namespace_handler_key UNIQUE (namespace, handler)
) STRICT;

CREATE TABLE graph_steps (
    -- What all tasks of a graph know of a step.
    graph       INTEGER NOT NULL, -- The graph.
    step        INTEGER NOT NULL, -- The step's number.
    name        TEXT NOT NULL, -- The step's name.
    queue       INTEGER NOT NULL, -- Where the step waits for a worker.
    parents     INTEGER NOT NULL, -- How many steps it waits for.
    retryable   INTEGER NOT NULL, -- 1 if a failed attempt may be followed by another.
    retry_limit INTEGER NOT NULL, -- How many attempts there may be.
    CONSTRAINT graph_steps_pkey PRIMARY KEY (graph, step),
    CONSTRAINT graph_steps_graph_fkey FOREIGN KEY (graph) REFERENCES graphs (id),
    CONSTRAINT graph_steps_queue_fkey FOREIGN KEY (queue) REFERENCES queues (id)
) STRICT, WITHOUT ROWID;

CREATE TABLE tasks (
    -- One row for each task.
    key             INTEGER NOT NULL PRIMARY KEY, -- The task's key; a later task has a greater one.
    id              BLOB NOT NULL, -- The id that the outside knows.
    graph           INTEGER NOT NULL, -- The template as it was when the task was created.
    state           TEXT NOT NULL, -- The state.
    failure         TEXT, -- Why the task is in error.
    priority        INTEGER NOT NULL, -- Higher first.
    live_steps      INTEGER NOT NULL, -- How many steps are in progress or in the queue.
    identity        TEXT, -- What no other task has; null when it is the id.
    namespace       TEXT, -- The namespace, for tasks with an idempotency key.
    idempotency_key TEXT, -- The key under which the request may be repeated.
    request_digest  TEXT, -- A digest of that request.
    origin          TEXT, -- Who asked, from where and why, as JSON; null when nothing was said.
    parent_task     BLOB, -- The id of the task that created this one.
    parent_step     INTEGER, -- The step that did.
    root_task       BLOB, -- The id of the first task of that line.
    created_at      INTEGER NOT NULL, -- When it was created.
    updated_at      INTEGER NOT NULL, -- When its state, or what is said about it, last changed.
    started_at      INTEGER, -- When its first step was claimed.
    finished_at     INTEGER, -- When it ended, for good or in error.
    start_at        INTEGER, -- No step starts before.
    deadline_at     INTEGER, -- Then the task fails.
    next_check_at   INTEGER, -- When the safety net looks at it; null when it is not active.
    CONSTRAINT tasks_id_key UNIQUE (id),
    CONSTRAINT tasks_graph_fkey FOREIGN KEY (graph) REFERENCES graphs (id),
    CONSTRAINT tasks_state_check CHECK (
        state IN ('pending', 'in_progress', 'complete', 'error', 'cancelled', 'resolved_manually')
    )
) STRICT;
CREATE UNIQUE INDEX tasks_identity_key ON tasks (identity) WHERE identity IS NOT NULL;
CREATE UNIQUE INDEX tasks_namespace_idempotency_key_key ON tasks (namespace, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX tasks_created_at_index ON tasks (created_at, key);
CREATE INDEX tasks_graph_state_created_at_index ON tasks (graph, state, created_at, key);
CREATE INDEX tasks_root_task_index ON tasks (root_task) WHERE root_task IS NOT NULL;
CREATE INDEX tasks_next_check_at_index ON tasks (next_check_at) WHERE next_check_at IS NOT NULL;
CREATE INDEX tasks_deadline_at_index ON tasks (deadline_at) WHERE deadline_at IS NOT NULL AND next_check_at IS NOT NULL;

CREATE TABLE task_labels (
    -- What lists find tasks by, beside their rows: a row for each thing that was said about a task.
    kind       TEXT NOT NULL, -- Whether it is a tag, the initiator, the source system, or the name of an annotation.
    value      TEXT NOT NULL, -- The first 255 characters of it.
    created_at INTEGER NOT NULL, -- When the task was created.
    task       INTEGER NOT NULL, -- The task's key.
    CONSTRAINT task_labels_pkey PRIMARY KEY (kind, value, created_at, task),
    CONSTRAINT task_labels_kind_check CHECK (kind IN ('tag', 'initiator', 'source_system', 'annotation'))
) STRICT, WITHOUT ROWID;

CREATE TABLE steps (
    -- One row for each step of each task. No index: a change of state touches this row alone.
    key           INTEGER NOT NULL PRIMARY KEY, -- The task's key times 2^24, plus the step's number; numbers only grow.
    state         TEXT NOT NULL, -- The state.
    attempts      INTEGER NOT NULL, -- Attempts since the last reset.
    run           INTEGER NOT NULL, -- Claims, for ever.
    retry_limit   INTEGER NOT NULL, -- How many attempts there may be.
    retryable     INTEGER NOT NULL, -- 1 if a failed attempt may be followed by another.
    permanent     INTEGER NOT NULL, -- 1 if the last failure was permanent.
    unmet_parents INTEGER NOT NULL, -- How many parents are not done.
    waits         INTEGER NOT NULL DEFAULT 0, -- How many other things the step waits for.
    kind          TEXT, -- What kind of step it is; null for one that a handler runs.
    queue         INTEGER NOT NULL, -- Where the step waits for a worker.
    next_retry_at INTEGER, -- When it is due; null when nothing makes it wait.
    started_at    INTEGER, -- When the last attempt was claimed.
    finished_at   INTEGER, -- When it last came to a state other than pending and in progress.
    timeout_us    INTEGER, -- A time limit that replaces the template's.
    lease         INTEGER, -- The lease under which it runs; null unless it is in progress.
    CONSTRAINT steps_state_check CHECK (
        state IN ('pending', 'in_progress', 'complete', 'error', 'cancelled', 'resolved_manually')
    ),
    CONSTRAINT steps_unmet_parents_check CHECK (unmet_parents >= 0),
    CONSTRAINT steps_attempts_check CHECK (attempts >= 0)
) STRICT;

CREATE TABLE ready_steps (
    -- The queue: steps that may be claimed now or at a time.
    queue   INTEGER NOT NULL, -- Where the step waits.
    parked  INTEGER NOT NULL, -- 1 until a claim notices that the step is due.
    rank    INTEGER NOT NULL, -- The task's priority, negated: lower first.
    task    INTEGER NOT NULL, -- The task's key: older first.
    step    INTEGER NOT NULL, -- The step's number.
    due_at  INTEGER, -- When a step that waits for its time is due.
    gate    TEXT, -- What else must open before the step may be claimed.
    CONSTRAINT ready_steps_pkey PRIMARY KEY (queue, parked, rank, task, step)
) STRICT, WITHOUT ROWID;
CREATE INDEX ready_steps_due_at_index ON ready_steps (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX ready_steps_parked_due_at_index ON ready_steps (parked, due_at) WHERE parked = 1;
CREATE INDEX ready_steps_task_index ON ready_steps (task);

CREATE TABLE leases (
    -- The rights to the steps in progress: a row for those that were handed out together. A write about a claimed step
    -- must name its token.
    id      INTEGER NOT NULL PRIMARY KEY, -- The lease's key.
    token   INTEGER NOT NULL, -- The token of the request that claimed the steps.
    actor   INTEGER NOT NULL, -- The worker that holds them.
    process INTEGER NOT NULL, -- The process that the worker runs in.
    until   INTEGER NOT NULL, -- When it ends.
    held    INTEGER NOT NULL, -- How many steps are still held under it; the row goes with the last one.
    steps   TEXT NOT NULL, -- The keys of the steps that it was given for, as JSON; a step says itself whether it still is.
    CONSTRAINT leases_held_check CHECK (held > 0)
) STRICT;

CREATE TABLE actors (
    -- Who does things: workers, users, the store itself.
    id   INTEGER NOT NULL PRIMARY KEY, -- The actor's key.
    name TEXT NOT NULL, -- `system`, `worker:ID` or `user:NAME`.
    CONSTRAINT actors_name_key UNIQUE (name)
) STRICT;

CREATE TABLE processes (
    -- Who opened this database. The number names a lock file, by which a dead one is known; it is never used again.
    id  INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, -- The number.
    pid INTEGER NOT NULL -- The process, as the operating system numbers it.
) STRICT;

CREATE TABLE payloads (
    -- What tasks and steps carry, apart from the rows that change often.
    key      INTEGER NOT NULL PRIMARY KEY, -- The step's key times 8, plus the kind: 0 the task's context (at step 0), 1 the result, 2 the checkpoint, 3 the config, 4 the failure, 5 the progress.
    encoding TEXT, -- How the body is written; null for plain JSON.
    body     TEXT NOT NULL -- The body.
) STRICT;

CREATE TABLE history (
    -- The history, and by its order the outbox of events: a row for the entries that were committed together, or a part
    -- of them. The view `transitions` has an entry a row.
    position INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, -- The place of the last entry in the order of commits.
    at       INTEGER NOT NULL, -- When it happened.
    entries  TEXT NOT NULL -- Lists, in order: the task's key, the step's number, the event, the states before and after, the actor, the run, the attempt, the handler's version, the time it ran in microseconds, and what else is known; null for one whose task is gone.
) STRICT;

CREATE TABLE task_history (
    -- Where the history of a task is.
    task     INTEGER NOT NULL, -- The task's key.
    position INTEGER NOT NULL, -- A row of the history that has entries of the task.
    CONSTRAINT task_history_pkey PRIMARY KEY (task, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE api_tokens (
    -- Tokens by which programs say who they are. Of a token itself there is only a digest.
    id           TEXT NOT NULL PRIMARY KEY, -- The part of the token by which it is found, as 16 hexadecimal digits.
    name         TEXT NOT NULL, -- What it is called; no two that are not revoked have the same name.
    subject      TEXT NOT NULL, -- Who calls with it.
    roles        TEXT NOT NULL, -- What they are: a list as JSON.
    digest       TEXT NOT NULL, -- The SHA-256 of the token.
    created_at   INTEGER NOT NULL, -- When it was made.
    expires_at   INTEGER, -- When it ends; null for one that does not.
    last_used_at INTEGER, -- When it was last used, to about a minute.
    revoked_at   INTEGER -- When it was revoked; null for one that was not.
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX api_tokens_name_key ON api_tokens (name) WHERE revoked_at IS NULL;

CREATE VIEW transitions AS
-- The entries of the history: where in the order of commits, whose, what happened, when, and by whom.
SELECT h.position - json_array_length(h.entries) + 1 + e.key AS position,
       e.value->>0 AS task, e.value->>1 AS step, e.value->>2 AS event, e.value->>3 AS from_state,
       e.value->>4 AS to_state, h.at, e.value->>5 AS actor, e.value->>6 AS run, e.value->>7 AS attempt,
       e.value->>8 AS handler_version, e.value->>9 AS ran_us, e.value->>10 AS metadata
FROM history AS h CROSS JOIN json_each(h.entries) AS e WHERE e.type <> 'null';

CREATE VIEW attempts AS
-- Attempts by run: when claimed and ended, how, by whom, with which version of the handler.
SELECT started.task, started.step, started.run, started.attempt, started.at AS claimed_at, ended.at AS ended_at,
       ended.event AS outcome, actors.name AS worker, started.handler_version, ended.ran_us, ended.metadata
FROM transitions AS started
JOIN actors ON actors.id = started.actor
LEFT JOIN transitions AS ended
    ON ended.task = started.task AND ended.step = started.step AND ended.run = started.run
    AND ended.position > started.position
    AND ended.event IN ('succeed', 'fail', 'expire', 'release', 'interrupt', 'suspend', 'cancel')
    AND ended.from_state = 'in_progress'
WHERE started.event = 'start' AND started.step IS NOT NULL;
