//! What can go wrong with the database, told apart by what the caller can do.

/// A statement that did not work.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The server is away, starting, stopping or overloaded: the same again later may work.
    #[error("the database is unavailable")]
    Unavailable(#[source] sqlx::Error),
    /// The server was asked and did not answer in time; whether it did what it was asked is not known.
    #[error("the database did not answer in time")]
    TimedOut,
    /// The schema could not be brought up to date.
    #[error("the database's schema could not be brought up to date: {0}")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// What the database holds is not what this program writes.
    #[error("the database holds something this program does not understand: {0}")]
    Corrupt(String),
    /// Anything else, which is a fault of this program.
    #[error("a statement failed: {0}")]
    Failed(#[source] sqlx::Error),
}

impl StoreError {
    /// Whether the same again later may work.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::TimedOut)
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let away = match &error {
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => true,
            sqlx::Error::WorkerCrashed | sqlx::Error::Protocol(_) => true,
            // Classes 08 (connection), 40 (a deadlock that it broke), 53 (resources), 57 (operator intervention); PostgreSQL,
            // appendix A.
            sqlx::Error::Database(error) => {
                error.code().is_some_and(|code| ["08", "40", "53", "57"].iter().any(|class| code.starts_with(class)))
            }
            _ => false,
        };
        if away { Self::Unavailable(error) } else { Self::Failed(error) }
    }
}

impl From<sqlx::migrate::MigrateError> for StoreError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        match error {
            sqlx::migrate::MigrateError::Execute(error) => error.into(),
            other => Self::Migration(other),
        }
    }
}
