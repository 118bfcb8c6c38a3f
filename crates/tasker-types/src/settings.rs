//! The settings that other crates take, with their defaults.
//!
//! A section has two types. `…Values` is the plain form: public fields, defaults, what a file may say.
//! The section itself ([`Backoff`], [`Limits`], …) holds values that passed every check, reads like them
//! and cannot be changed. Where values come from is the business of `tasker-config`.

mod auth;
mod backoff;
mod bounds;
mod cache;
mod database;
mod engine;
mod execution;
mod graph;
mod health;
mod limits;
mod server;
mod telemetry;

use std::fmt;

use thiserror::Error;

use bounds::Bounded;

pub use auth::{Auth, AuthValues, JwtKeyValues, JwtValues, RoleValues};
pub use backoff::{Backoff, BackoffValues, ReenqueueDelays};
pub use bounds::Bounds;
pub use cache::{Cache, CacheValues};
pub use database::{Database, DatabaseValues, Synchronous};
pub use engine::{Engine, EngineValues, EnqueuingStrategy, IdentityStrategy};
pub use execution::{ConnectionPressureFactors, Execution, ExecutionValues};
pub use graph::{
    DependencyGraphValues, DurationEstimates, GraphWeights, ImpactScoring, PenaltyCalculation,
    SeverityThresholds, StateSeverity,
};
pub use health::{Health, HealthValues};
pub use limits::{Limits, LimitsValues};
pub use server::{RequestRate, Server, ServerValues};
pub use telemetry::{Batching, LogFormat, LogLevel, Telemetry, TelemetryValues};

/// A key of a section, for the reference page and for messages.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The key as a file spells it.
    pub name: &'static str,
    /// What it means, in sentences, its unit among them.
    pub doc: &'static str,
    /// What its values must satisfy besides being of their type.
    pub bounds: Bounds,
    /// What they must satisfy beside these bounds, other values among it; mostly empty.
    pub constraint: &'static str,
    /// The keys of the table that this key holds; empty for a plain value.
    pub keys: &'static [Key],
}

/// A section of the configuration that can be checked as a whole.
pub trait Section: Sized {
    /// The plain form, with every key present.
    type Values: Default + serde::Serialize + serde::de::DeserializeOwned;
    /// The section's name in files and in the environment.
    const NAME: &'static str;
    /// What the section is for.
    const DOC: &'static str;
    /// Its keys, in the order of the reference page.
    const KEYS: &'static [Key];

    /// Checks every constraint of the section.
    ///
    /// # Errors
    ///
    /// All faults, not only the first.
    fn check(values: Self::Values) -> Result<Self, SettingFaults>;
}

/// One value that breaks a constraint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingFault {
    /// The key within its section, with dots between tables.
    pub key: String,
    /// The value, as it would be written.
    pub value: String,
    /// What the value must satisfy.
    pub must: String,
}

/// All constraints that the values of a section break.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct SettingFaults {
    /// The section.
    pub section: &'static str,
    /// The faults, one a key: first those of values by themselves, then those between values, in the order of the keys.
    pub faults: Vec<SettingFault>,
}

impl fmt::Display for SettingFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(
                f,
                "{separator}`{}.{}` is {}, but it must be {}",
                self.section, fault.key, fault.value, fault.must
            )?;
        }
        Ok(())
    }
}

/// Collects the faults of a section.
struct Check(Vec<SettingFault>);

impl Check {
    /// Adds a fault unless the condition holds, or the key has one already.
    fn require(&mut self, holds: bool, key: &str, value: &impl Bounded, must: &str) {
        if !holds && self.0.iter().all(|fault| fault.key != key) {
            self.0.push(SettingFault {
                key: key.to_owned(),
                value: value.written(),
                must: must.to_owned(),
            });
        }
    }

    /// Adds a fault unless the bounds hold.
    fn within(&mut self, bounds: &Bounds, prefix: &str, key: &str, value: &impl Bounded) {
        if !value.is_within(bounds) {
            self.require(false, &format!("{prefix}{key}"), value, &value.must(bounds));
        }
    }
}

/// Defines the plain form of a table: its fields, their documentation, defaults and constraints.
macro_rules! table {
    (
        $(#[doc = $table_doc:literal])+
        $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $key:ident: $type:ty = $default:expr $(; in $bounds:expr)? $(; $constraint:literal)? $(=> $nested:ident)?,
            )+
        }
    ) => {
        $(#[doc = $table_doc])+
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $(
                $(#[doc = $doc])+
                // So `cargo xtask keys` has the compiler say who reads it.
                #[cfg_attr(tasker_keys, deprecated)]
                pub $key: $type,
            )+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)+ }
            }
        }

        impl $name {
            pub(super) const KEYS: &'static [$crate::settings::Key] = &[
                $(
                    $crate::settings::Key {
                        name: stringify!($key),
                        doc: concat!($($doc, "\n",)+),
                        bounds: $crate::settings::table!(@bounds $($bounds)?),
                        constraint: concat!("", $($constraint)?),
                        keys: $crate::settings::table!(@keys $($nested)?),
                    },
                )+
            ];

            /// Holds the values against their bounds; the prefix is that of the keys within the section.
            pub(super) fn check_bounds(&self, prefix: &str, check: &mut $crate::settings::Check) {
                // A table need not have keys with bounds.
                let _ = (prefix, &check);
                $(
                    $(check.within(&$bounds, prefix, stringify!($key), &self.$key);)?
                    $(
                        let nested: &$nested = &self.$key;
                        nested.check_bounds(&format!("{prefix}{}.", stringify!($key)), check);
                    )?
                )+
            }
        }
    };
    (@bounds) => { $crate::settings::Bounds::NONE };
    (@bounds $bounds:expr) => { $bounds };
    (@keys) => { &[] };
    (@keys $nested:ident) => { $nested::KEYS };
}

/// Defines a section: values that passed their checks and can only be read.
macro_rules! section {
    ($(#[doc = $doc:literal])+ $name:ident($values:ident) in $section:literal) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq, serde::Serialize)]
        #[serde(transparent)]
        pub struct $name($values);

        impl $crate::settings::Section for $name {
            type Values = $values;
            const NAME: &'static str = $section;
            const DOC: &'static str = concat!($($doc, "\n",)+);
            const KEYS: &'static [$crate::settings::Key] = $values::KEYS;

            fn check(values: $values) -> Result<Self, $crate::settings::SettingFaults> {
                let mut check = $crate::settings::Check(Vec::new());
                values.check_bounds("", &mut check);
                values.check(&mut check);
                if check.0.is_empty() {
                    Ok(Self(values))
                } else {
                    Err($crate::settings::SettingFaults { section: $section, faults: check.0 })
                }
            }
        }

        impl Default for $name {
            /// Returns the defaults, which pass every check.
            fn default() -> Self {
                Self($values::default())
            }
        }

        impl std::ops::Deref for $name {
            type Target = $values;

            fn deref(&self) -> &$values {
                &self.0
            }
        }

        impl TryFrom<$values> for $name {
            type Error = $crate::settings::SettingFaults;

            fn try_from(values: $values) -> Result<Self, $crate::settings::SettingFaults> {
                <Self as $crate::settings::Section>::check(values)
            }
        }
    };
}

use {section, table};

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn defaults_pass<S: Section + Default + serde::Serialize>() {
        assert!(S::check(S::Values::default()).is_ok(), "{}", S::NAME);
        let written = serde_json::to_value(S::default()).unwrap();
        let names: Vec<_> = written.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names.len(), S::KEYS.len());
        for key in S::KEYS {
            assert!(names.contains(&key.name), "{}.{}", S::NAME, key.name);
            assert!(!key.doc.trim().is_empty(), "{}.{}", S::NAME, key.name);
        }
    }

    #[test]
    fn defaults_pass_their_own_checks() {
        defaults_pass::<Auth>();
        defaults_pass::<Backoff>();
        defaults_pass::<Database>();
        defaults_pass::<Engine>();
        defaults_pass::<Cache>();
        defaults_pass::<Execution>();
        defaults_pass::<GraphWeights>();
        defaults_pass::<Health>();
        defaults_pass::<Limits>();
        defaults_pass::<Server>();
        defaults_pass::<Telemetry>();
    }

    #[track_caller]
    fn refused<S: Section + fmt::Debug>(change: impl FnOnce(&mut S::Values), message: &str) {
        let mut values = S::Values::default();
        change(&mut values);
        assert_eq!(S::check(values).unwrap_err().to_string(), message);
    }

    #[test]
    fn all_faults_of_a_section_come_in_one_report() {
        refused::<Backoff>(
            |v| {
                v.default_backoff_seconds.clear();
                v.max_backoff_seconds = 0;
                v.backoff_multiplier = f64::NAN;
                v.jitter_max_percentage = 1.5;
            },
            "`backoff.default_backoff_seconds` is [], but it must be a list that is not empty, with every \
             value between 0 and 315360000; \
             `backoff.max_backoff_seconds` is 0, but it must be between 1 and 315360000; \
             `backoff.backoff_multiplier` is NaN, but it must be a finite number that is at least 1; \
             `backoff.jitter_max_percentage` is 1.5, but it must be between 0 and 1",
        );
    }

    #[test]
    fn a_heartbeat_comes_twice_in_a_lease() {
        refused::<Execution>(
            |v| v.heartbeat_seconds = 15.0,
            "`execution.heartbeat_seconds` is 15.0, but it must be less than half of `lease_seconds`",
        );
        // A value that is wrong by itself has one fault.
        refused::<Execution>(
            |v| v.heartbeat_seconds = f64::INFINITY,
            "`execution.heartbeat_seconds` is inf, but it must be a finite number that is more than 0",
        );
    }

    #[test]
    fn who_is_asked_for_permissions_must_say_who_they_are() {
        refused::<Auth>(
            |v| v.authorization_enabled = true,
            "`auth.authorization_enabled` is true, but it must be false unless `authentication_enabled` is true: who is \
             not known has no roles",
        );
        refused::<Auth>(
            |v| {
                v.authenticator.clear();
                v.coordinator.clear();
                v.jwt.issuer = Some(String::new());
                v.jwt.audience = Some(String::new());
                v.jwt.leeway_seconds = 61;
                v.jwt.max_bytes = 255;
                v.jwt.name_claim.clear();
                v.jwt.roles_claim.clear();
            },
            "`auth.authenticator` is \"\", but it must be not empty; \
             `auth.coordinator` is \"\", but it must be not empty; \
             `auth.jwt.issuer` is \"\", but it must be not empty; \
             `auth.jwt.audience` is \"\", but it must be not empty; \
             `auth.jwt.leeway_seconds` is 61, but it must be between 0 and 60; \
             `auth.jwt.max_bytes` is 255, but it must be between 256 and 65536; \
             `auth.jwt.name_claim` is \"\", but it must be not empty; \
             `auth.jwt.roles_claim` is \"\", but it must be not empty",
        );
    }

    #[test]
    fn severity_thresholds_descend() {
        refused::<GraphWeights>(
            |v| v.severity_thresholds.high = 100.0,
            "`dependency_graph.severity_thresholds.critical` is 100.0, but it must be more than \
             `severity_thresholds.high`",
        );
    }

    #[test]
    fn a_base_path_is_a_plain_path() {
        for path in ["", "tasker", "/", "/tasker/", "/a//b", "/a b", "/{id}"] {
            refused::<Server>(
                |v| v.base_path = path.to_owned(),
                &format!(
                    "`server.base_path` is {path:?}, but it must be a path such as `/tasker`, of letters, digits, `_` and `-`"
                ),
            );
        }
    }

    #[test]
    fn unknown_keys_are_refused() {
        assert!(serde_json::from_str::<BackoffValues>(r#"{"max_backoff_second": 3}"#).is_err());
    }

    #[track_caller]
    fn accepted<S: Section + fmt::Debug>(change: impl FnOnce(&mut S::Values)) {
        let mut values = S::Values::default();
        change(&mut values);
        S::check(values).unwrap();
    }

    #[test]
    fn what_must_be_less_may_not_be_as_much() {
        refused::<Cache>(
            |v| v.min_adaptive_ttl = v.max_adaptive_ttl,
            "`cache.min_adaptive_ttl` is 3600.0, but it must be less than `max_adaptive_ttl`",
        );
        refused::<GraphWeights>(
            |v| v.severity_thresholds.medium = v.severity_thresholds.high,
            "`dependency_graph.severity_thresholds.high` is 50.0, but it must be more than \
             `severity_thresholds.medium`",
        );
        accepted::<Server>(|v| v.base_path = "/my_team/tasker-2".to_owned());
    }

    #[test]
    fn lists_of_texts_have_no_empty_ones() {
        refused::<Engine>(
            |v| v.custom_events_directories = vec!["events".to_owned(), String::new()],
            "`engine.custom_events_directories` is [\"events\", \"\"], but it must be a list of texts that are not empty",
        );
        accepted::<Engine>(|v| v.custom_events_directories = vec!["events".to_owned()]);
        refused::<Telemetry>(
            |v| v.filter_parameters = vec![String::new()],
            "`telemetry.filter_parameters` is [\"\"], but it must be a list of texts that are not empty",
        );
    }

    #[test]
    fn names_of_headers_and_patterns_of_events_are_plain() {
        for header in ["", "X Request", "X:Y"] {
            refused::<Telemetry>(
                |v| v.correlation_id_header = header.to_owned(),
                &format!(
                    "`telemetry.correlation_id_header` is {header:?}, but it must be the name of a header, of letters, \
                     digits, `-` and `_`"
                ),
            );
        }
        accepted::<Telemetry>(|v| v.correlation_id_header = "X_Request-1".to_owned());
        let long = "a".repeat(129);
        for pattern in ["", "step completed", &long] {
            refused::<Telemetry>(
                |v| v.filtered_events = vec!["step.*".to_owned(), pattern.to_owned()],
                &format!(
                    "`telemetry.filtered_events` is [\"step.*\", {pattern:?}], but it must be a list of patterns of \
                     events, of letters, digits, `.`, `_`, `-` and `*`, such as `step.*`"
                ),
            );
        }
        accepted::<Telemetry>(|v| v.filtered_events = vec!["a".repeat(128), "task_1-x.*".to_owned()]);
    }

    #[test]
    fn a_collector_has_a_url_without_a_user() {
        for url in [
            "",
            "localhost:4318",
            "ftp://localhost",
            "http://",
            "https:///v1",
            "http://?x",
            "http://#x",
            "http://a b",
            "http://user:word@localhost",
        ] {
            refused::<Telemetry>(
                |v| v.otlp_endpoint = Some(url.to_owned()),
                &format!(
                    "`telemetry.otlp_endpoint` is {url:?}, but it must be a URL such as \
                     `http://localhost:4318/v1/traces`, without a user and a password"
                ),
            );
        }
        for url in ["http://localhost:4318/v1/traces", "https://collector"] {
            accepted::<Telemetry>(|v| v.otlp_endpoint = Some(url.to_owned()));
        }
    }

    #[test]
    fn levels_are_shown_as_they_are_written() {
        let levels = [
            LogLevel::Error,
            LogLevel::Warn,
            LogLevel::Info,
            LogLevel::Debug,
            LogLevel::Trace,
        ];
        for level in levels {
            let written = serde_json::to_value(level).unwrap();
            assert_eq!(written, level.to_string());
            assert_eq!(format!("{level:>6}").len(), 6);
        }
    }
}
