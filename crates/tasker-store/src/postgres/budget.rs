//! How many connections a process may have, by how full its server is.

use std::sync::Weak;
use std::time::Duration;

use diesel::result::QueryResult;
use tasker_engine::StoreError;
use tasker_types::{ConnectionPressureFactors, Database, Execution};

use super::Shared;
use super::connection::Connection;
use super::health::server_connections;
use crate::status::ServerConnections;

/// How often it is looked how full the server is.
const EVERY: Duration = Duration::from_secs(30);

/// How many connections read and write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) readers: u32,
    pub(super) writers: u32,
}

/// What is configured about the number of connections.
#[derive(Debug)]
pub(super) struct Budget {
    wanted: Sizes,
    execution: Execution,
}

impl Budget {
    pub(super) fn new(database: Database, execution: Execution) -> Self {
        let wanted = Sizes {
            readers: database.readers,
            writers: database.writers,
        };
        Self { wanted, execution }
    }

    /// Returns how many connections write at most, however empty the server.
    pub(super) fn most(&self) -> u32 {
        self.shared_out(self.execution.max_connections).writers
    }

    /// Returns how many connections read and write while the server has so many, `own` of them ours.
    pub(super) fn sizes(&self, server: ServerConnections, own: u32) -> Sizes {
        let others = server.open.saturating_sub(own);
        let free = server.max.saturating_sub(others);
        let factor = factor(&self.execution.connection_pressure_factors, others, server.max);
        let granted = (f64::from(free) * factor).floor() as u32;
        let least = self.execution.min_connections;
        self.shared_out(granted.clamp(least, self.execution.max_connections))
    }

    /// Shares connections out among those that read and those that write, at least one to each.
    fn shared_out(&self, granted: u32) -> Sizes {
        let Sizes { readers, writers } = self.wanted;
        if readers + writers <= granted {
            return self.wanted;
        }
        let writers = (granted * writers / (readers + writers)).max(1);
        Sizes {
            readers: granted.saturating_sub(writers).max(1),
            writers,
        }
    }
}

/// Returns the part of the free connections that may be taken when others have so many of them.
fn factor(factors: &ConnectionPressureFactors, others: u32, max: u32) -> f64 {
    let used = f64::from(others) / f64::from(max.max(1));
    match used {
        _ if used >= 0.85 => factors.critical,
        _ if used >= 0.7 => factors.high,
        _ if used >= 0.5 => factors.moderate,
        _ => factors.low,
    }
}

/// Returns how many connections the server has, whoever opened them, and how many it permits to those without privilege.
pub(super) async fn server(connection: &Connection<'_>) -> QueryResult<ServerConnections> {
    // What a backend does is hidden from other users, but not that it belongs to someone.
    const SQL: &str = "\
SELECT (SELECT count(*) FROM pg_stat_activity WHERE usesysid IS NOT NULL), \
    current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint";
    server_connections(connection, SQL).await
}

impl Shared {
    /// Looks how full the server is, and has as many connections as that leaves.
    pub(super) async fn balance(&self) -> Result<(), StoreError> {
        let server = self
            .readers
            .read(move |connection| Box::pin(server(connection)))
            .await?;
        let own = self.readers.open() + self.desk.busy.open.get();
        let sizes = self.budget.sizes(server, own);
        self.readers.resize(sizes.readers);
        self.writer.resize(sizes.writers);
        Ok(())
    }
}

/// Looks how full the server is for as long as the store is there.
pub(super) async fn keep(store: Weak<Shared>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let Some(shared) = store.upgrade() else { return };
        if let Err(error) = shared.balance().await {
            tracing::debug!(%error, "it is not known how full the database's server is");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tasker_types::{DatabaseValues, ExecutionValues};

    fn budget(readers: u32, writers: u32, execution: ExecutionValues) -> Budget {
        let database = DatabaseValues {
            readers,
            writers,
            ..DatabaseValues::default()
        };
        Budget::new(database.try_into().unwrap(), execution.try_into().unwrap())
    }

    #[track_caller]
    fn check(budget: &Budget, (open, max, own): (u32, u32, u32), (readers, writers): (u32, u32)) {
        let server = ServerConnections { open, max };
        assert_eq!(budget.sizes(server, own), Sizes { readers, writers });
    }

    #[test]
    fn an_empty_server_gives_what_is_configured_up_to_the_most() {
        let modest = budget(2, 2, ExecutionValues::default());
        check(&modest, (1, 97, 1), (2, 2));
        let greedy = budget(30, 10, ExecutionValues::default());
        check(&greedy, (1, 97, 1), (9, 3));
        assert_eq!(greedy.most(), 3);
    }

    #[test]
    fn a_fuller_server_gives_less_but_never_less_than_the_least() {
        let hungry = budget(6, 6, ExecutionValues::default());
        for (others, both) in [
            (49, 6), // 51 free, moderate: 30
            (70, 6), // 30 free, high: 12
            (75, 5), // 25 free, high: 10
            (84, 3), // 16 free, high: 6
            (85, 2), // 15 free, critical: 3
            (99, 2),
            (100, 2),
            (130, 2),
        ] {
            let server = ServerConnections {
                open: others + 12,
                max: 100,
            };
            let Sizes { readers, writers } = hungry.sizes(server, 12);
            let expected = if both == 2 { (2, 1) } else { (both, both) };
            assert_eq!((readers, writers), expected, "{others}");
        }
    }

    #[test]
    fn both_kinds_have_a_connection() {
        let least = ExecutionValues {
            min_connections: 2,
            ..ExecutionValues::default()
        };
        check(&budget(64, 1, least.clone()), (99, 100, 0), (1, 1));
        check(&budget(1, 64, least), (99, 100, 0), (1, 1));
    }

    #[test]
    fn the_factors_are_those_of_their_levels() {
        let factors = ConnectionPressureFactors::default();
        for (others, expected) in [
            (0, 0.8),
            (49, 0.8),
            (50, 0.6),
            (69, 0.6),
            (70, 0.4),
            (84, 0.4),
            (85, 0.2),
            (200, 0.2),
        ] {
            assert_eq!(factor(&factors, others, 100), expected, "{others}");
        }
    }
}
