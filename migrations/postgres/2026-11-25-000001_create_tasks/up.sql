-- Times are microseconds since 1970-01-01T00:00:00Z. Inside, tasks have short integer keys beside the ids that the outside
-- knows. JSON is kept as text: nothing in here reads it, and what was stored is handed on as it was.

CREATE TABLE tasker_schema (
    id              smallint NOT NULL,
    version         integer  NOT NULL,
    oldest_program  integer  NOT NULL,
    position_offset bigint   NOT NULL,
    CONSTRAINT tasker_schema_pkey PRIMARY KEY (id),
    CONSTRAINT tasker_schema_id_check CHECK (id = 1)
);
COMMENT ON TABLE tasker_schema IS 'The one row that says which programs may use this schema.';
COMMENT ON COLUMN tasker_schema.id IS 'Always 1.';
COMMENT ON COLUMN tasker_schema.version IS 'The version of the schema.';
COMMENT ON COLUMN tasker_schema.oldest_program IS 'The lowest schema version that a program must know to use it.';
COMMENT ON COLUMN tasker_schema.position_offset IS
    'What is added to the number of a transaction in positions: it keeps them growing after a restore into another cluster.';
INSERT INTO tasker_schema (id, version, oldest_program, position_offset) VALUES (1, 1, 1, 0);

CREATE TABLE secrets (
    name  text  NOT NULL,
    value bytea NOT NULL,
    CONSTRAINT secrets_pkey PRIMARY KEY (name)
);
COMMENT ON TABLE secrets IS 'What must be the same for all processes, and known to nobody else.';
COMMENT ON COLUMN secrets.name IS 'What it is for: `cursors`.';
COMMENT ON COLUMN secrets.value IS 'The secret.';

CREATE TABLE graphs (
    id        bigint GENERATED ALWAYS AS IDENTITY,
    namespace text NOT NULL,
    name      text NOT NULL,
    version   text NOT NULL,
    digest    text NOT NULL,
    body      text NOT NULL,
    CONSTRAINT graphs_pkey PRIMARY KEY (id),
    CONSTRAINT graphs_digest_key UNIQUE (digest)
);
CREATE INDEX graphs_namespace_name_version_index ON graphs (namespace, name, version, id);
COMMENT ON TABLE graphs IS 'Templates as tasks keep them: equal ones once.';
COMMENT ON COLUMN graphs.id IS 'The graph''s key.';
COMMENT ON COLUMN graphs.namespace IS 'The namespace that owns the template.';
COMMENT ON COLUMN graphs.name IS 'The template''s name.';
COMMENT ON COLUMN graphs.version IS 'The template''s version.';
COMMENT ON COLUMN graphs.digest IS 'The SHA-256 of the body.';
COMMENT ON COLUMN graphs.body IS 'The template as canonical JSON.';

CREATE TABLE graph_edges (
    graph     bigint  NOT NULL,
    from_step integer NOT NULL,
    to_step   integer NOT NULL,
    CONSTRAINT graph_edges_pkey PRIMARY KEY (graph, from_step, to_step),
    CONSTRAINT graph_edges_graph_fkey FOREIGN KEY (graph) REFERENCES graphs (id)
);
COMMENT ON TABLE graph_edges IS 'Which step waits for which, once for all tasks of a graph.';
COMMENT ON COLUMN graph_edges.graph IS 'The graph.';
COMMENT ON COLUMN graph_edges.from_step IS 'The step that must be done first.';
COMMENT ON COLUMN graph_edges.to_step IS 'The step that waits for it.';

-- Half of each page stays free, so that the updates of `last_served` stay in it.
CREATE TABLE queues (
    id          bigint GENERATED ALWAYS AS IDENTITY,
    namespace   text   NOT NULL,
    handler     text   NOT NULL,
    last_served bigint NOT NULL DEFAULT 0,
    CONSTRAINT queues_pkey PRIMARY KEY (id),
    CONSTRAINT queues_namespace_handler_key UNIQUE (namespace, handler)
) WITH (fillfactor = 50);
COMMENT ON TABLE queues IS 'Where steps wait for a worker: one queue for each handler that a namespace''s templates name.';
COMMENT ON COLUMN queues.id IS 'The queue''s key; a later commit has a greater one.';
COMMENT ON COLUMN queues.namespace IS 'The namespace of the templates.';
COMMENT ON COLUMN queues.handler IS 'The handler as the templates name it.';
COMMENT ON COLUMN queues.last_served IS 'The number of the last hand-out that this queue''s namespace had a part in.';

CREATE TABLE graph_steps (
    graph       bigint  NOT NULL,
    step        integer NOT NULL,
    name        text    NOT NULL,
    queue       bigint  NOT NULL,
    parents     integer NOT NULL,
    retryable   boolean NOT NULL,
    retry_limit bigint  NOT NULL,
    CONSTRAINT graph_steps_pkey PRIMARY KEY (graph, step),
    CONSTRAINT graph_steps_graph_fkey FOREIGN KEY (graph) REFERENCES graphs (id),
    CONSTRAINT graph_steps_queue_fkey FOREIGN KEY (queue) REFERENCES queues (id)
);
COMMENT ON TABLE graph_steps IS 'What all tasks of a graph know of a step.';
COMMENT ON COLUMN graph_steps.graph IS 'The graph.';
COMMENT ON COLUMN graph_steps.step IS 'The step''s number.';
COMMENT ON COLUMN graph_steps.name IS 'The step''s name.';
COMMENT ON COLUMN graph_steps.queue IS 'Where the step waits for a worker.';
COMMENT ON COLUMN graph_steps.parents IS 'How many steps it waits for.';
COMMENT ON COLUMN graph_steps.retryable IS 'Whether a failed attempt may be followed by another.';
COMMENT ON COLUMN graph_steps.retry_limit IS 'How many attempts there may be.';

-- A task's row changes when it starts and when it ends: a page keeps room for that. Its state is in the index of lists. There
-- is no foreign key to `graphs`: each creation would lock the graph's row, and graphs are never removed before their tasks.
CREATE TABLE tasks (
    key             bigint   NOT NULL,
    id              uuid     NOT NULL,
    graph           bigint   NOT NULL,
    state           text     NOT NULL,
    failure         text,
    priority        smallint NOT NULL,
    live_steps      integer  NOT NULL,
    identity        text,
    namespace       text,
    idempotency_key text,
    request_digest  text,
    origin          text,
    parent_task     uuid,
    parent_step     integer,
    root_task       uuid,
    created_at      bigint   NOT NULL,
    updated_at      bigint   NOT NULL,
    started_at      bigint,
    finished_at     bigint,
    start_at        bigint,
    deadline_at     bigint,
    next_check_at   bigint,
    CONSTRAINT tasks_pkey PRIMARY KEY (key),
    CONSTRAINT tasks_id_key UNIQUE (id),
    CONSTRAINT tasks_state_check CHECK (
        state IN ('pending', 'in_progress', 'complete', 'error', 'cancelled', 'resolved_manually')
    )
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.1);
CREATE SEQUENCE tasks_key_seq OWNED BY tasks.key;
CREATE UNIQUE INDEX tasks_identity_key ON tasks (identity) WHERE identity IS NOT NULL;
CREATE UNIQUE INDEX tasks_namespace_idempotency_key_key ON tasks (namespace, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX tasks_created_at_index ON tasks (created_at, key);
CREATE INDEX tasks_graph_state_created_at_index ON tasks (graph, state, created_at, key);
CREATE INDEX tasks_root_task_index ON tasks (root_task) WHERE root_task IS NOT NULL;
CREATE INDEX tasks_next_check_at_index ON tasks (next_check_at) WHERE next_check_at IS NOT NULL;
CREATE INDEX tasks_deadline_at_index ON tasks (deadline_at) WHERE deadline_at IS NOT NULL AND next_check_at IS NOT NULL;
COMMENT ON TABLE tasks IS 'One row for each task. Who changes anything of a task but claims a step holds the lock of this row.';
COMMENT ON COLUMN tasks.key IS 'The task''s key.';
COMMENT ON COLUMN tasks.id IS 'The id that the outside knows.';
COMMENT ON COLUMN tasks.graph IS 'The template as it was when the task was created.';
COMMENT ON COLUMN tasks.state IS 'The state.';
COMMENT ON COLUMN tasks.failure IS 'Why the task is in error.';
COMMENT ON COLUMN tasks.priority IS 'Higher first.';
COMMENT ON COLUMN tasks.live_steps IS 'How many steps are in progress or in the queue.';
COMMENT ON COLUMN tasks.identity IS 'What no other task has; null when it is the id.';
COMMENT ON COLUMN tasks.namespace IS 'The namespace, for tasks with an idempotency key.';
COMMENT ON COLUMN tasks.idempotency_key IS 'The key under which the request may be repeated.';
COMMENT ON COLUMN tasks.request_digest IS 'A digest of that request.';
COMMENT ON COLUMN tasks.origin IS 'Who asked, from where and why, as JSON; null when nothing was said.';
COMMENT ON COLUMN tasks.parent_task IS 'The id of the task that created this one.';
COMMENT ON COLUMN tasks.parent_step IS 'The step that did.';
COMMENT ON COLUMN tasks.root_task IS 'The id of the first task of that line.';
COMMENT ON COLUMN tasks.created_at IS 'When it was created.';
COMMENT ON COLUMN tasks.updated_at IS 'When its state, or what is said about it, last changed.';
COMMENT ON COLUMN tasks.started_at IS 'When its first step was claimed.';
COMMENT ON COLUMN tasks.finished_at IS 'When it ended, for good or in error.';
COMMENT ON COLUMN tasks.start_at IS 'No step starts before.';
COMMENT ON COLUMN tasks.deadline_at IS 'Then the task fails.';
COMMENT ON COLUMN tasks.next_check_at IS 'When the safety net looks at it; null when it is not active.';

CREATE TABLE task_labels (
    kind       text   NOT NULL,
    value      text   COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    task       bigint NOT NULL,
    CONSTRAINT task_labels_pkey PRIMARY KEY (kind, value, created_at, task),
    CONSTRAINT task_labels_kind_check CHECK (kind IN ('tag', 'initiator', 'source_system', 'annotation'))
);
COMMENT ON TABLE task_labels IS 'What lists find tasks by, beside their rows: a row for each thing that was said about a task.';
COMMENT ON COLUMN task_labels.kind IS 'Whether it is a tag, the initiator, the source system, or the name of an annotation.';
COMMENT ON COLUMN task_labels.value IS 'The first 255 characters of it.';
COMMENT ON COLUMN task_labels.created_at IS 'When the task was created.';
COMMENT ON COLUMN task_labels.task IS 'The task''s key.';

-- A step's row changes twice in a run without trouble. No index but the key, and a third of each page free: both changes
-- stay in the page and touch no index. What never changes stands first: the log has only what comes after it.
CREATE TABLE steps (
    task          bigint   NOT NULL,
    queue         bigint   NOT NULL,
    retry_limit   bigint   NOT NULL,
    timeout_us    bigint,
    step          integer  NOT NULL,
    waits         integer  NOT NULL DEFAULT 0,
    kind          text,
    retryable     boolean  NOT NULL,
    configured    boolean  NOT NULL DEFAULT false,
    permanent     boolean  NOT NULL,
    unmet_parents integer  NOT NULL,
    attempts      integer  NOT NULL,
    run           integer  NOT NULL,
    next_retry_at bigint,
    started_at    bigint,
    finished_at   bigint,
    token         bigint,
    lease_actor   bigint,
    lease_until   bigint,
    state         text     NOT NULL,
    CONSTRAINT steps_pkey PRIMARY KEY (task, step),
    CONSTRAINT steps_state_check CHECK (
        state IN ('pending', 'in_progress', 'complete', 'error', 'cancelled', 'resolved_manually')
    ),
    CONSTRAINT steps_unmet_parents_check CHECK (unmet_parents >= 0),
    CONSTRAINT steps_attempts_check CHECK (attempts >= 0)
) WITH (fillfactor = 65, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.1);
COMMENT ON TABLE steps IS 'One row for each step of each task. No index but the key: a change of state touches this row alone.';
COMMENT ON COLUMN steps.task IS 'The task''s key.';
COMMENT ON COLUMN steps.queue IS 'Where the step waits for a worker.';
COMMENT ON COLUMN steps.retry_limit IS 'How many attempts there may be.';
COMMENT ON COLUMN steps.timeout_us IS 'A time limit that replaces the template''s.';
COMMENT ON COLUMN steps.step IS 'The step''s number; numbers only grow.';
COMMENT ON COLUMN steps.waits IS 'How many other things the step waits for.';
COMMENT ON COLUMN steps.kind IS 'What kind of step it is; null for one that a handler runs.';
COMMENT ON COLUMN steps.retryable IS 'Whether a failed attempt may be followed by another.';
COMMENT ON COLUMN steps.configured IS 'Whether a configuration of its own replaces the template''s.';
COMMENT ON COLUMN steps.permanent IS 'Whether the last failure was permanent.';
COMMENT ON COLUMN steps.unmet_parents IS 'How many parents are not done.';
COMMENT ON COLUMN steps.attempts IS 'Attempts since the last reset.';
COMMENT ON COLUMN steps.run IS 'Claims, for ever.';
COMMENT ON COLUMN steps.next_retry_at IS 'When it is due; null when nothing makes it wait.';
COMMENT ON COLUMN steps.started_at IS 'When the last attempt was claimed.';
COMMENT ON COLUMN steps.finished_at IS 'When it last came to a state other than pending and in progress.';
COMMENT ON COLUMN steps.token IS 'The token of the request that claimed it, while it is in progress.';
COMMENT ON COLUMN steps.lease_actor IS 'The worker that holds it.';
COMMENT ON COLUMN steps.lease_until IS 'When its lease ends.';
COMMENT ON COLUMN steps.state IS 'The state.';

-- Rows only come and go. Dead entries at the head of the index are what every claim walks over, so vacuum comes after a
-- thousand of them, whatever the size, and does not pause.
CREATE TABLE ready_steps (
    queue  bigint   NOT NULL,
    task   bigint   NOT NULL,
    due_at bigint,
    step   integer  NOT NULL,
    rank   smallint NOT NULL,
    parked boolean  NOT NULL,
    gate   text,
    CONSTRAINT ready_steps_pkey PRIMARY KEY (queue, parked, rank, task, step)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX ready_steps_due_at_index ON ready_steps (parked, due_at) WHERE due_at IS NOT NULL;
COMMENT ON TABLE ready_steps IS 'The queue: steps that may be claimed now or at a time.';
COMMENT ON COLUMN ready_steps.queue IS 'Where the step waits.';
COMMENT ON COLUMN ready_steps.task IS 'The task''s key: older first.';
COMMENT ON COLUMN ready_steps.due_at IS 'When a step that waits for its time is due.';
COMMENT ON COLUMN ready_steps.step IS 'The step''s number.';
COMMENT ON COLUMN ready_steps.rank IS 'The task''s priority, negated: lower first.';
COMMENT ON COLUMN ready_steps.parked IS 'True until a claim notices that the step is due.';
COMMENT ON COLUMN ready_steps.gate IS 'What else must open before the step may be claimed.';

CREATE TABLE api_tokens (
    created_at   bigint NOT NULL,
    expires_at   bigint,
    last_used_at bigint,
    revoked_at   bigint,
    id           text   NOT NULL,
    name         text   NOT NULL,
    subject      text   NOT NULL,
    roles        text   NOT NULL,
    digest       text   NOT NULL,
    CONSTRAINT api_tokens_pkey PRIMARY KEY (id)
);
CREATE UNIQUE INDEX api_tokens_name_key ON api_tokens (name) WHERE revoked_at IS NULL;
COMMENT ON TABLE api_tokens IS 'Tokens by which programs say who they are. Of a token itself there is only a digest.';
COMMENT ON COLUMN api_tokens.created_at IS 'When it was made.';
COMMENT ON COLUMN api_tokens.expires_at IS 'When it ends; null for one that does not.';
COMMENT ON COLUMN api_tokens.last_used_at IS 'When it was last used, to about a minute.';
COMMENT ON COLUMN api_tokens.revoked_at IS 'When it was revoked; null for one that was not.';
COMMENT ON COLUMN api_tokens.id IS 'The part of the token by which it is found, as 16 hexadecimal digits.';
COMMENT ON COLUMN api_tokens.name IS 'What it is called; no two that are not revoked have the same name.';
COMMENT ON COLUMN api_tokens.subject IS 'Who calls with it.';
COMMENT ON COLUMN api_tokens.roles IS 'What they are: a list as JSON.';
COMMENT ON COLUMN api_tokens.digest IS 'The SHA-256 of the token.';

CREATE TABLE leases (
    token bigint   NOT NULL,
    actor bigint   NOT NULL,
    until bigint   NOT NULL,
    tasks bigint[] NOT NULL,
    steps integer[] NOT NULL,
    CONSTRAINT leases_pkey PRIMARY KEY (token, actor)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX leases_until_index ON leases (until);
COMMENT ON TABLE leases IS
    'Hand-outs, one row for each: where to look for leases that are over. What counts is in the rows of the steps.';
COMMENT ON COLUMN leases.token IS 'The token of the request that was handed steps.';
COMMENT ON COLUMN leases.actor IS 'The worker that was.';
COMMENT ON COLUMN leases.until IS 'No lease of the hand-out ends before.';
COMMENT ON COLUMN leases.tasks IS 'The tasks'' keys.';
COMMENT ON COLUMN leases.steps IS 'The steps'' numbers, in the same order.';

CREATE TABLE actors (
    id   bigint GENERATED ALWAYS AS IDENTITY,
    name text NOT NULL,
    CONSTRAINT actors_pkey PRIMARY KEY (id),
    CONSTRAINT actors_name_key UNIQUE (name)
);
COMMENT ON TABLE actors IS 'Who does things: workers, users, the store itself.';
COMMENT ON COLUMN actors.id IS 'The actor''s key.';
COMMENT ON COLUMN actors.name IS '`system`, `worker:ID` or `user:NAME`.';

CREATE TABLE payloads (
    task     bigint  NOT NULL,
    step     integer NOT NULL,
    kind     "char"  NOT NULL,
    encoding text,
    body     text    NOT NULL,
    CONSTRAINT payloads_pkey PRIMARY KEY (task, step, kind),
    CONSTRAINT payloads_kind_check CHECK (kind IN ('t', 'r', 'p', 'c', 'f', 'g'))
);
COMMENT ON TABLE payloads IS 'What tasks and steps carry, apart from the rows that change often.';
COMMENT ON COLUMN payloads.task IS 'The task''s key.';
COMMENT ON COLUMN payloads.step IS 'The step''s number; -1 for the task itself.';
COMMENT ON COLUMN payloads.kind IS 'The con`t`ext, a `r`esult, a check`p`oint, a `c`onfiguration, a `f`ailure, or pro`g`ress.';
COMMENT ON COLUMN payloads.encoding IS 'How the body is written; null for plain JSON.';
COMMENT ON COLUMN payloads.body IS 'The body.';

-- Rows are added, changed when tasks are removed, and removed with the last one. A row is longer than what a page likes to
-- hold, and is compressed; it stays in its page then.
CREATE TABLE history (
    position bigint NOT NULL,
    at       bigint NOT NULL,
    entries  text   NOT NULL,
    CONSTRAINT history_pkey PRIMARY KEY (position)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.1);
ALTER TABLE history ALTER COLUMN entries SET STORAGE MAIN;
COMMENT ON TABLE history IS
    'The history, and by its order the outbox of events: a row for the entries that were committed together, or a part of them. The view `transitions` has an entry a row.';
COMMENT ON COLUMN history.position IS
    'The place of the last entry: the number of the transaction, shifted left by 19 bits, plus the place within it. Readers stop below the oldest transaction that is under way, so that none that commits late is passed over.';
COMMENT ON COLUMN history.at IS 'When it happened.';
COMMENT ON COLUMN history.entries IS
    'Lists, in order: the task''s key, the step''s number, the event, the states before and after, the actor, the run, the attempt, the handler''s version, the time it ran in microseconds, and what else is known; null for one whose task is gone.';

CREATE TABLE task_history (
    task     bigint NOT NULL,
    position bigint NOT NULL,
    CONSTRAINT task_history_pkey PRIMARY KEY (task, position)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.1);
COMMENT ON TABLE task_history IS 'Where the history of a task is.';
COMMENT ON COLUMN task_history.task IS 'The task''s key.';
COMMENT ON COLUMN task_history.position IS 'A row of the history that has entries of the task.';

CREATE VIEW transitions AS
SELECT h.position - json_array_length(h.entries::json) + e.place AS position,
       (e.entry->>0)::bigint AS task, (e.entry->>1)::integer AS step, e.entry->>2 AS event, e.entry->>3 AS from_state,
       e.entry->>4 AS to_state, h.at, (e.entry->>5)::bigint AS actor, (e.entry->>6)::integer AS run,
       (e.entry->>7)::integer AS attempt, e.entry->>8 AS handler_version, (e.entry->>9)::bigint AS ran_us,
       nullif((e.entry->10)::text, 'null') AS metadata
FROM history AS h CROSS JOIN LATERAL json_array_elements(h.entries::json) WITH ORDINALITY AS e (entry, place)
WHERE json_typeof(e.entry) <> 'null';
COMMENT ON VIEW transitions IS
    'The entries of the history: where in the order of commits, whose, what happened, when, and by whom.';

CREATE VIEW attempts AS
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
COMMENT ON VIEW attempts IS 'Attempts by run: when claimed and ended, how, by whom, with which version of the handler.';
