//! What every key refuses, with which words: its other types, and what is out of its bounds.

use std::collections::BTreeSet;

use crate::place::Place;

const WAIT: &str = "a whole number between 0 and 315360000";
const WEIGHT: &str = "a number that is at least 0";
const SCORE: &str = "a number that is more than 0";

/// A key, a value as a file spells it that is of another type, and what it must be.
const TYPES: &[(&str, &str, &str)] = &[
    ("auth.authentication_enabled", "\"yes\"", "true or false"),
    ("auth.authenticator", "5", "a string that is not empty"),
    ("auth.authorization_enabled", "1", "true or false"),
    ("auth.coordinator", "5", "a string that is not empty"),
    ("auth.roles", "5", "a table of tables"),
    ("auth.jwt.keys", "5", "a list of tables"),
    ("auth.jwt.issuer", "5", "a string that is not empty"),
    ("auth.jwt.audience", "5", "a string that is not empty"),
    (
        "auth.jwt.leeway_seconds",
        "0.5",
        "a whole number between 0 and 60",
    ),
    (
        "auth.jwt.max_bytes",
        "\"8k\"",
        "a whole number between 256 and 65536",
    ),
    ("auth.jwt.name_claim", "5", "a string that is not empty"),
    ("auth.jwt.roles_claim", "5", "a string that is not empty"),
    ("server.bind", "8080", "a string"),
    ("server.base_path", "5", "a string"),
    (
        "server.body_bytes",
        "\"2M\"",
        "a whole number between 1024 and 1073741824",
    ),
    (
        "server.header_bytes",
        "1.5",
        "a whole number between 8192 and 1048576",
    ),
    (
        "server.header_timeout_seconds",
        "\"5s\"",
        "a number between 0.1 and 3600",
    ),
    (
        "server.request_timeout_seconds",
        "\"5s\"",
        "a number between 0.1 and 3600",
    ),
    (
        "server.connections",
        "\"all\"",
        "a whole number between 1 and 1000000",
    ),
    (
        "server.body_depth",
        "\"deep\"",
        "a whole number between 8 and 100",
    ),
    (
        "server.address_rate.requests_per_second",
        "\"many\"",
        "a number between 0 and 1000000",
    ),
    (
        "server.address_rate.burst",
        "1.5",
        "a whole number between 1 and 1000000",
    ),
    (
        "server.caller_rate.requests_per_second",
        "\"many\"",
        "a number between 0 and 1000000",
    ),
    (
        "server.caller_rate.burst",
        "1.5",
        "a whole number between 1 and 1000000",
    ),
    ("server.cursor_secret", "5", "a string"),
    (
        "server.event_streams",
        "\"all\"",
        "a whole number between 1 and 1000000",
    ),
    (
        "server.event_heartbeat_seconds",
        "\"often\"",
        "a number between 0.1 and 3600",
    ),
    (
        "server.event_stream_seconds",
        "\"long\"",
        "a number between 1 and 86400",
    ),
    (
        "backoff.default_backoff_seconds",
        "[1.5]",
        "a list of whole numbers that is not empty, with every value between 0 and 315360000",
    ),
    (
        "backoff.max_backoff_seconds",
        "1.5",
        "a whole number between 1 and 315360000",
    ),
    (
        "backoff.backoff_multiplier",
        "\"2\"",
        "a number that is at least 1",
    ),
    ("backoff.jitter_enabled", "\"yes\"", "true or false"),
    (
        "backoff.jitter_max_percentage",
        "\"10%\"",
        "a number between 0 and 1",
    ),
    ("backoff.reenqueue_delays.has_ready_steps", "true", WAIT),
    ("backoff.reenqueue_delays.waiting_for_dependencies", "0.5", WAIT),
    ("backoff.reenqueue_delays.processing", "-1", WAIT),
    ("backoff.default_reenqueue_delay", "\"long\"", WAIT),
    ("backoff.buffer_seconds", "[5]", WAIT),
    ("database.url", "5", "a string"),
    ("database.secondary_url", "5", "a string"),
    ("database.synchronous", "\"off\"", "`full` or `normal`"),
    ("database.notifications", "\"yes\"", "true or false"),
    ("database.readers", "1.5", "a whole number between 1 and 64"),
    ("database.writers", "1.5", "a whole number between 1 and 64"),
    (
        "database.retention_days",
        "\"30d\"",
        "a number between 0 and 36500",
    ),
    (
        "database.busy_timeout_seconds",
        "\"5s\"",
        "a number between 0 and 3600",
    ),
    (
        "database.statement_timeout_seconds",
        "\"1min\"",
        "a number between 0 and 86400",
    ),
    (
        "dependency_graph.impact_scoring.downstream_weight",
        "\"much\"",
        WEIGHT,
    ),
    (
        "dependency_graph.impact_scoring.blocked_weight",
        "\"much\"",
        WEIGHT,
    ),
    (
        "dependency_graph.impact_scoring.path_length_weight",
        "\"much\"",
        WEIGHT,
    ),
    (
        "dependency_graph.impact_scoring.completed_penalty",
        "\"much\"",
        WEIGHT,
    ),
    (
        "dependency_graph.impact_scoring.blocked_penalty",
        "\"much\"",
        WEIGHT,
    ),
    (
        "dependency_graph.impact_scoring.error_penalty",
        "\"much\"",
        WEIGHT,
    ),
    (
        "dependency_graph.impact_scoring.retry_penalty",
        "\"much\"",
        WEIGHT,
    ),
    ("dependency_graph.state_severity.error_state", "\"much\"", WEIGHT),
    (
        "dependency_graph.state_severity.exhausted_retry_bonus",
        "\"much\"",
        WEIGHT,
    ),
    (
        "dependency_graph.state_severity.dependency_issue",
        "\"much\"",
        WEIGHT,
    ),
    (
        "dependency_graph.penalty_calculation.retry_instability",
        "\"much\"",
        WEIGHT,
    ),
    (
        "dependency_graph.penalty_calculation.non_retryable",
        "\"much\"",
        WEIGHT,
    ),
    (
        "dependency_graph.penalty_calculation.exhausted_retry",
        "\"much\"",
        WEIGHT,
    ),
    (
        "dependency_graph.duration_estimates.base_step_seconds",
        "\"much\"",
        WEIGHT,
    ),
    (
        "dependency_graph.duration_estimates.error_penalty_seconds",
        "\"much\"",
        WEIGHT,
    ),
    (
        "dependency_graph.duration_estimates.retry_penalty_seconds",
        "\"much\"",
        WEIGHT,
    ),
    ("dependency_graph.severity_thresholds.critical", "true", SCORE),
    ("dependency_graph.severity_thresholds.high", "true", SCORE),
    ("dependency_graph.severity_thresholds.medium", "true", SCORE),
    ("engine.task_config_directory", "5", "a string that is not empty"),
    ("engine.default_namespace", "5", "a string"),
    ("engine.identity_strategy", "\"random\"", "`unique` or `hash`"),
    (
        "engine.enqueuing_strategy",
        "\"later\"",
        "`check_in` or `immediate`",
    ),
    ("cache.default_ttl", "\"long\"", "a number between 0 and 86400"),
    ("cache.adaptive_ttl_enabled", "\"on\"", "true or false"),
    (
        "cache.min_adaptive_ttl",
        "\"short\"",
        "a number that is more than 0",
    ),
    (
        "cache.max_adaptive_ttl",
        "\"long\"",
        "a number that is more than 0 and at most 86400",
    ),
    (
        "cache.hit_rate_smoothing_factor",
        "\"much\"",
        "a number between 0 and 1",
    ),
    (
        "cache.access_frequency_decay_rate",
        "true",
        "a number between 0 and 1",
    ),
    ("cache.max_entries", "1.5", "a whole number that is at least 0"),
    (
        "engine.custom_events_directories",
        "\"events\"",
        "a list of strings",
    ),
    ("engine.template_environment", "[5]", "a list of strings"),
    ("health.status_requires_authentication", "1", "true or false"),
    ("health.ready_requires_authentication", "\"no\"", "true or false"),
    (
        "health.readiness_timeout_seconds",
        "\"5s\"",
        "a number that is more than 0 and at most 3600",
    ),
    (
        "health.cache_duration_seconds",
        "\"15s\"",
        "a number that is more than 0 and at most 86400",
    ),
    (
        "execution.max_concurrent_steps",
        "\"all\"",
        "a whole number between 1 and 100000",
    ),
    (
        "execution.claim_batch",
        "1.0",
        "a whole number between 1 and 10000",
    ),
    (
        "execution.lease_seconds",
        "\"soon\"",
        "a number between 0.1 and 86400",
    ),
    (
        "execution.heartbeat_seconds",
        "true",
        "a number that is more than 0",
    ),
    (
        "execution.poll_min_seconds",
        "\"50ms\"",
        "a number that is more than 0",
    ),
    (
        "execution.poll_max_seconds",
        "\"1s\"",
        "a number that is more than 0 and at most 3600",
    ),
    (
        "execution.shutdown_grace_seconds",
        "false",
        "a number between 0 and 86400",
    ),
    (
        "execution.min_connections",
        "2.5",
        "a whole number that is at least 2",
    ),
    (
        "execution.max_connections",
        "\"12\"",
        "a whole number between 2 and 128",
    ),
    (
        "execution.connection_pressure_factors.low",
        "\"low\"",
        "a number between 0 and 1",
    ),
    (
        "execution.connection_pressure_factors.moderate",
        "\"moderate\"",
        "a number between 0 and 1",
    ),
    (
        "execution.connection_pressure_factors.high",
        "\"high\"",
        "a number between 0 and 1",
    ),
    (
        "execution.connection_pressure_factors.critical",
        "\"critical\"",
        "a number between 0 and 1",
    ),
    (
        "limits.steps_per_task",
        "\"many\"",
        "a whole number that is at least 1",
    ),
    (
        "limits.template",
        "\"64 MiB\"",
        "a whole number that is at least 1",
    ),
    ("limits.context", "1.5", "a whole number that is at least 1"),
    ("limits.result", "-1", "a whole number that is at least 1"),
    ("limits.stderr_tail", "-1", "a whole number that is at least 0"),
    (
        "limits.yaml_aliases",
        "-1",
        "a whole number between 0 and 4294967295",
    ),
    ("server.bind", "8080", "a string"),
    ("server.base_path", "5", "a string"),
    (
        "server.body_bytes",
        "\"2 MiB\"",
        "a whole number between 1024 and 1073741824",
    ),
    (
        "server.header_bytes",
        "\"many\"",
        "a whole number between 8192 and 1048576",
    ),
    (
        "server.header_timeout_seconds",
        "\"soon\"",
        "a number between 0.1 and 3600",
    ),
    (
        "server.request_timeout_seconds",
        "\"soon\"",
        "a number between 0.1 and 3600",
    ),
    (
        "server.connections",
        "\"all\"",
        "a whole number between 1 and 1000000",
    ),
    (
        "server.event_streams",
        "\"all\"",
        "a whole number between 1 and 1000000",
    ),
    (
        "server.event_heartbeat_seconds",
        "\"often\"",
        "a number between 0.1 and 3600",
    ),
    (
        "server.event_stream_seconds",
        "\"long\"",
        "a number between 1 and 86400",
    ),
    (
        "telemetry.log_level",
        "\"loud\"",
        "`error`, `warn`, `info`, `debug` or `trace`",
    ),
    ("telemetry.log_format", "\"xml\"", "`json`, `pretty` or `logfmt`"),
    ("telemetry.filter_parameters", "\"iban\"", "a list of strings"),
    ("telemetry.filter_mask", "5", "a string"),
    ("telemetry.correlation_id_header", "5", "a string"),
    ("telemetry.metrics_enabled", "\"yes\"", "true or false"),
    ("telemetry.metrics_auth_required", "\"yes\"", "true or false"),
    ("telemetry.enabled", "\"yes\"", "true or false"),
    ("telemetry.service_name", "5", "a string that is not empty"),
    ("telemetry.service_version", "5", "a string that is not empty"),
    (
        "telemetry.slow_query_threshold_seconds",
        "\"1s\"",
        "a number that is more than 0 and at most 86400",
    ),
    (
        "telemetry.event_sampling_rate",
        "\"all\"",
        "a number between 0 and 1",
    ),
    ("telemetry.filtered_events", "\"step.*\"", "a list of strings"),
    ("telemetry.otlp_endpoint", "4318", "a string"),
    ("telemetry.batching.enabled", "\"yes\"", "true or false"),
    (
        "telemetry.batching.buffer_size",
        "0.5",
        "a whole number between 1 and 10000",
    ),
    (
        "telemetry.batching.flush_interval_seconds",
        "\"5s\"",
        "a number that is more than 0 and at most 3600",
    ),
];

/// A key, a value as a file spells it that is out of bounds, and what it must be.
const BOUNDS: &[(&str, &str, &str)] = &[
    ("auth.authenticator", "\"\"", "not empty"),
    ("auth.coordinator", "\"\"", "not empty"),
    ("auth.jwt.issuer", "\"\"", "not empty"),
    ("auth.jwt.audience", "\"\"", "not empty"),
    ("auth.jwt.leeway_seconds", "61", "between 0 and 60"),
    ("auth.jwt.max_bytes", "255", "between 256 and 65536"),
    ("auth.jwt.name_claim", "\"\"", "not empty"),
    ("auth.jwt.roles_claim", "\"\"", "not empty"),
    ("server.body_bytes", "1023", "between 1024 and 1073741824"),
    ("server.body_depth", "7", "between 8 and 100"),
    ("server.body_depth", "101", "between 8 and 100"),
    (
        "server.address_rate.requests_per_second",
        "-0.5",
        "between 0 and 1000000",
    ),
    ("server.address_rate.burst", "0", "between 1 and 1000000"),
    (
        "server.caller_rate.requests_per_second",
        "1000001.0",
        "between 0 and 1000000",
    ),
    ("server.caller_rate.burst", "1000001", "between 1 and 1000000"),
    ("server.header_bytes", "8191", "between 8192 and 1048576"),
    ("server.header_timeout_seconds", "0.0", "between 0.1 and 3600"),
    ("server.request_timeout_seconds", "3600.5", "between 0.1 and 3600"),
    ("server.connections", "0", "between 1 and 1000000"),
    ("server.event_streams", "0", "between 1 and 1000000"),
    ("server.event_heartbeat_seconds", "0.05", "between 0.1 and 3600"),
    ("server.event_stream_seconds", "0.5", "between 1 and 86400"),
    (
        "backoff.default_backoff_seconds",
        "[]",
        "a list that is not empty, with every value between 0 and 315360000",
    ),
    (
        "backoff.default_backoff_seconds",
        "[1, 315360001]",
        "a list that is not empty, with every value between 0 and 315360000",
    ),
    ("backoff.max_backoff_seconds", "0", "between 1 and 315360000"),
    (
        "backoff.max_backoff_seconds",
        "315360001",
        "between 1 and 315360000",
    ),
    ("backoff.backoff_multiplier", "0.5", "at least 1"),
    (
        "backoff.backoff_multiplier",
        "inf",
        "a finite number that is at least 1",
    ),
    ("backoff.jitter_max_percentage", "-0.5", "between 0 and 1"),
    ("backoff.jitter_max_percentage", "10.0", "between 0 and 1"),
    (
        "backoff.reenqueue_delays.has_ready_steps",
        "315360001",
        "between 0 and 315360000",
    ),
    (
        "backoff.reenqueue_delays.waiting_for_dependencies",
        "315360001",
        "between 0 and 315360000",
    ),
    (
        "backoff.reenqueue_delays.processing",
        "315360001",
        "between 0 and 315360000",
    ),
    (
        "backoff.default_reenqueue_delay",
        "315360001",
        "between 0 and 315360000",
    ),
    ("backoff.buffer_seconds", "315360001", "between 0 and 315360000"),
    ("cache.default_ttl", "-1.0", "between 0 and 86400"),
    ("cache.default_ttl", "86401.0", "between 0 and 86400"),
    ("cache.min_adaptive_ttl", "0.0", "more than 0"),
    ("cache.max_adaptive_ttl", "0.0", "more than 0 and at most 86400"),
    (
        "cache.max_adaptive_ttl",
        "86401.0",
        "more than 0 and at most 86400",
    ),
    ("telemetry.service_name", "\"\"", "not empty"),
    ("telemetry.service_version", "\"\"", "not empty"),
    (
        "telemetry.slow_query_threshold_seconds",
        "0.0",
        "more than 0 and at most 86400",
    ),
    (
        "telemetry.slow_query_threshold_seconds",
        "86401.0",
        "more than 0 and at most 86400",
    ),
    ("telemetry.event_sampling_rate", "-0.1", "between 0 and 1"),
    ("telemetry.event_sampling_rate", "1.1", "between 0 and 1"),
    ("telemetry.batching.buffer_size", "0", "between 1 and 10000"),
    ("telemetry.batching.buffer_size", "10001", "between 1 and 10000"),
    (
        "telemetry.batching.flush_interval_seconds",
        "0.0",
        "more than 0 and at most 3600",
    ),
    (
        "telemetry.batching.flush_interval_seconds",
        "3601.0",
        "more than 0 and at most 3600",
    ),
    ("cache.hit_rate_smoothing_factor", "-0.1", "between 0 and 1"),
    ("cache.hit_rate_smoothing_factor", "1.1", "between 0 and 1"),
    ("cache.access_frequency_decay_rate", "-0.1", "between 0 and 1"),
    ("cache.access_frequency_decay_rate", "1.1", "between 0 and 1"),
    (
        "health.readiness_timeout_seconds",
        "0.0",
        "more than 0 and at most 3600",
    ),
    (
        "health.readiness_timeout_seconds",
        "3601.0",
        "more than 0 and at most 3600",
    ),
    (
        "health.cache_duration_seconds",
        "0.0",
        "more than 0 and at most 86400",
    ),
    (
        "health.cache_duration_seconds",
        "86401.0",
        "more than 0 and at most 86400",
    ),
    ("database.readers", "0", "between 1 and 64"),
    ("database.readers", "65", "between 1 and 64"),
    ("database.writers", "0", "between 1 and 64"),
    ("database.writers", "65", "between 1 and 64"),
    ("database.retention_days", "-1", "between 0 and 36500"),
    ("database.retention_days", "36501", "between 0 and 36500"),
    ("database.busy_timeout_seconds", "-1.0", "between 0 and 3600"),
    ("database.busy_timeout_seconds", "3601.0", "between 0 and 3600"),
    (
        "database.statement_timeout_seconds",
        "-0.5",
        "between 0 and 86400",
    ),
    (
        "database.statement_timeout_seconds",
        "86401.0",
        "between 0 and 86400",
    ),
    (
        "dependency_graph.impact_scoring.downstream_weight",
        "-1.0",
        "at least 0",
    ),
    (
        "dependency_graph.impact_scoring.blocked_weight",
        "-1.0",
        "at least 0",
    ),
    (
        "dependency_graph.impact_scoring.path_length_weight",
        "-1.0",
        "at least 0",
    ),
    (
        "dependency_graph.impact_scoring.completed_penalty",
        "-1.0",
        "at least 0",
    ),
    (
        "dependency_graph.impact_scoring.blocked_penalty",
        "-1.0",
        "at least 0",
    ),
    (
        "dependency_graph.impact_scoring.error_penalty",
        "-1.0",
        "at least 0",
    ),
    (
        "dependency_graph.impact_scoring.retry_penalty",
        "-1.0",
        "at least 0",
    ),
    (
        "dependency_graph.state_severity.error_state",
        "-1.0",
        "at least 0",
    ),
    (
        "dependency_graph.state_severity.exhausted_retry_bonus",
        "-1.0",
        "at least 0",
    ),
    (
        "dependency_graph.state_severity.dependency_issue",
        "-1.0",
        "at least 0",
    ),
    (
        "dependency_graph.penalty_calculation.retry_instability",
        "-1.0",
        "at least 0",
    ),
    (
        "dependency_graph.penalty_calculation.non_retryable",
        "-1.0",
        "at least 0",
    ),
    (
        "dependency_graph.penalty_calculation.exhausted_retry",
        "-1.0",
        "at least 0",
    ),
    (
        "dependency_graph.duration_estimates.base_step_seconds",
        "-1.0",
        "at least 0",
    ),
    (
        "dependency_graph.duration_estimates.error_penalty_seconds",
        "-1.0",
        "at least 0",
    ),
    (
        "dependency_graph.duration_estimates.retry_penalty_seconds",
        "-1.0",
        "at least 0",
    ),
    (
        "dependency_graph.severity_thresholds.critical",
        "0.0",
        "more than 0",
    ),
    ("dependency_graph.severity_thresholds.high", "0.0", "more than 0"),
    (
        "dependency_graph.severity_thresholds.medium",
        "0.0",
        "more than 0",
    ),
    ("engine.task_config_directory", "\"\"", "not empty"),
    ("execution.max_concurrent_steps", "0", "between 1 and 100000"),
    ("execution.max_concurrent_steps", "100001", "between 1 and 100000"),
    ("execution.claim_batch", "0", "between 1 and 10000"),
    ("execution.claim_batch", "10001", "between 1 and 10000"),
    ("execution.lease_seconds", "0.05", "between 0.1 and 86400"),
    ("execution.lease_seconds", "86401.0", "between 0.1 and 86400"),
    ("execution.heartbeat_seconds", "0.0", "more than 0"),
    ("execution.poll_min_seconds", "0.0", "more than 0"),
    (
        "execution.poll_max_seconds",
        "3601.0",
        "more than 0 and at most 3600",
    ),
    (
        "execution.poll_max_seconds",
        "-1.0",
        "more than 0 and at most 3600",
    ),
    ("execution.shutdown_grace_seconds", "-1.0", "between 0 and 86400"),
    (
        "execution.shutdown_grace_seconds",
        "86401.0",
        "between 0 and 86400",
    ),
    ("execution.min_connections", "1", "at least 2"),
    ("execution.max_connections", "1", "between 2 and 128"),
    ("execution.max_connections", "129", "between 2 and 128"),
    (
        "execution.connection_pressure_factors.low",
        "-0.1",
        "between 0 and 1",
    ),
    (
        "execution.connection_pressure_factors.low",
        "1.5",
        "between 0 and 1",
    ),
    (
        "execution.connection_pressure_factors.moderate",
        "-0.1",
        "between 0 and 1",
    ),
    (
        "execution.connection_pressure_factors.moderate",
        "1.5",
        "between 0 and 1",
    ),
    (
        "execution.connection_pressure_factors.high",
        "-0.1",
        "between 0 and 1",
    ),
    (
        "execution.connection_pressure_factors.high",
        "1.5",
        "between 0 and 1",
    ),
    (
        "execution.connection_pressure_factors.critical",
        "-0.1",
        "between 0 and 1",
    ),
    (
        "execution.connection_pressure_factors.critical",
        "1.5",
        "between 0 and 1",
    ),
    ("limits.steps_per_task", "0", "at least 1"),
    ("limits.template", "0", "at least 1"),
    ("limits.context", "0", "at least 1"),
    ("limits.result", "0", "at least 1"),
    ("server.body_bytes", "1023", "between 1024 and 1073741824"),
    ("server.body_bytes", "1073741825", "between 1024 and 1073741824"),
    ("server.header_bytes", "8191", "between 8192 and 1048576"),
    ("server.header_bytes", "1048577", "between 8192 and 1048576"),
    ("server.header_timeout_seconds", "0.05", "between 0.1 and 3600"),
    ("server.header_timeout_seconds", "3601.0", "between 0.1 and 3600"),
    ("server.request_timeout_seconds", "0.05", "between 0.1 and 3600"),
    ("server.request_timeout_seconds", "3601.0", "between 0.1 and 3600"),
    ("server.connections", "0", "between 1 and 1000000"),
    ("server.event_streams", "0", "between 1 and 1000000"),
    ("server.event_heartbeat_seconds", "0.05", "between 0.1 and 3600"),
    ("server.event_stream_seconds", "0.5", "between 1 and 86400"),
    ("server.connections", "1000001", "between 1 and 1000000"),
    ("server.event_streams", "1000001", "between 1 and 1000000"),
    ("server.event_heartbeat_seconds", "3601.0", "between 0.1 and 3600"),
    ("server.event_stream_seconds", "86401.0", "between 1 and 86400"),
];

/// Writes one key into a file, and compares the whole report.
#[track_caller]
fn refuses(key: &str, value: &str, must: &str) {
    let (section, rest) = key.split_once('.').expect("a key has a section");
    let place = Place::with(format!("[{section}]\n{rest} = {value}\n"));
    // What a name says to be secret is not told.
    let shown = if key.ends_with("secret") {
        "\"[FILTERED]\""
    } else {
        value
    };
    let message = format!("tasker.toml:2: `{key}` is {shown}, but it must be {must}");
    place.refuse(&place.loader(), &[&message]);
}

#[test]
fn every_key_refuses_other_types() {
    for (key, value, must) in TYPES {
        refuses(key, value, must);
    }
    let tried: BTreeSet<String> = TYPES.iter().map(|(key, ..)| (*key).to_owned()).collect();
    assert_eq!(tried, keys(|_| true));
}

#[test]
fn every_key_refuses_what_is_out_of_bounds() {
    for (key, value, must) in BOUNDS {
        refuses(key, value, must);
    }
    let tried: BTreeSet<String> = BOUNDS.iter().map(|(key, ..)| (*key).to_owned()).collect();
    let bounded = |key: &tasker_config::KeyReference| key.bounds.has_range() || key.bounds.is_not_empty();
    assert_eq!(tried, keys(bounded));
}

#[test]
fn a_short_secret_is_refused_and_not_told() {
    refuses("server.cursor_secret", "\"hunter2\"", "of 32 characters at least");
    refuses(
        "server.cursor_secret",
        "\"1234567890123456789012345678901\"",
        "of 32 characters at least",
    );
    let place = Place::with("[server]\ncursor_secret = \"12345678901234567890123456789012\"\n");
    place.loader().load().expect("32 characters are enough");
}

/// Writes values that are good by themselves, and compares what is said when they are held against one another.
#[track_caller]
fn refuses_together(section: &str, lines: &str, message: &str) {
    let place = Place::with(format!("[{section}]\n{lines}\n"));
    place.refuse(&place.loader(), &[message]);
}

#[test]
fn values_that_do_not_go_together_are_refused() {
    refuses_together(
        "cache",
        "min_adaptive_ttl = 3600",
        "tasker.toml:2: `cache.min_adaptive_ttl` is 3600.0, but it must be less than `max_adaptive_ttl`; \
         `max_adaptive_ttl` is 3600.0 (default)",
    );
    refuses_together(
        "execution",
        "heartbeat_seconds = 20",
        "tasker.toml:2: `execution.heartbeat_seconds` is 20.0, but it must be less than half of `lease_seconds`; \
         `lease_seconds` is 30.0 (default)",
    );
    refuses_together(
        "execution",
        "poll_min_seconds = 2",
        "tasker.toml:2: `execution.poll_min_seconds` is 2.0, but it must be at most `poll_max_seconds`; \
         `poll_max_seconds` is 1.0 (default)",
    );
    refuses_together(
        "execution",
        "min_connections = 13",
        "tasker.toml:2: `execution.min_connections` is 13, but it must be at most `max_connections`; \
         `max_connections` is 12 (default)",
    );
    refuses_together(
        "dependency_graph.severity_thresholds",
        "critical = 50\nmedium = 10",
        "tasker.toml:2: `dependency_graph.severity_thresholds.critical` is 50.0, but it must be more than \
         `severity_thresholds.high`; `severity_thresholds.high` is 50.0 (default)",
    );
    refuses_together(
        "dependency_graph.severity_thresholds",
        "critical = 200\nhigh = 70\nmedium = 80",
        "tasker.toml:4: `dependency_graph.severity_thresholds.high` is 70.0, but it must be more than \
         `severity_thresholds.medium`; `severity_thresholds.medium` is 80.0 (tasker.toml:4)",
    );
}

#[test]
fn a_filter_that_hides_everything_is_refused() {
    refuses(
        "telemetry.filter_parameters",
        "[\"iban\", \"\"]",
        "a list of texts that are not empty",
    );
}

#[test]
fn a_header_has_the_name_of_one() {
    for name in ["", "X Correlation", "X-Corrélation"] {
        refuses(
            "telemetry.correlation_id_header",
            &format!("\"{name}\""),
            "the name of a header, of letters, digits, `-` and `_`",
        );
    }
}

#[test]
fn a_filtered_event_has_the_form_of_a_pattern() {
    for list in ["[\"\"]", "[\"step.*\", \"task completed\"]"] {
        refuses(
            "telemetry.filtered_events",
            list,
            "a list of patterns of events, of letters, digits, `.`, `_`, `-` and `*`, such as `step.*`",
        );
    }
}

#[test]
fn a_collector_has_a_url_without_credentials() {
    for url in [
        "",
        "localhost:4318",
        "ftp://localhost/v1/traces",
        "http://",
        "http:///v1/traces",
        "http://ann:pw@localhost/v1/traces",
        "http://local host/",
    ] {
        refuses(
            "telemetry.otlp_endpoint",
            &format!("\"{url}\""),
            "a URL such as `http://localhost:4318/v1/traces`, without a user and a password",
        );
    }
}

#[test]
fn a_directory_of_events_has_a_name() {
    refuses(
        "engine.custom_events_directories",
        "[\"\"]",
        "a list of texts that are not empty",
    );
}

#[test]
fn values_at_their_bounds_are_taken() {
    for section in tasker_config::reference() {
        for key in &section.keys {
            let bounds = [key.bounds.minimum(), key.bounds.maximum()];
            for bound in bounds.into_iter().flatten() {
                let value = match key.expected.as_str() {
                    list if list.starts_with("a list") => format!("[{bound}]"),
                    whole if whole.starts_with("a whole number") => bound.to_string(),
                    _ => format!("{bound:?}"),
                };
                let place = Place::with(format!("[{}]\n{} = {value}\n", section.name, key.name));
                // What is compared with it may be wrong then, but not the key itself.
                if let Err(faults) = place.loader().load() {
                    let said = place.said(&faults);
                    assert!(
                        !said.contains(&format!("`{}.{}` is", section.name, key.name)),
                        "{said}"
                    );
                }
            }
        }
    }
}

fn keys(wanted: impl Fn(&tasker_config::KeyReference) -> bool) -> BTreeSet<String> {
    let sections = tasker_config::reference().into_iter();
    sections
        .flat_map(|section| {
            let names: Vec<_> = section
                .keys
                .iter()
                .filter(|key| wanted(key))
                .map(|key| format!("{}.{}", section.name, key.name))
                .collect();
            names
        })
        .collect()
}
