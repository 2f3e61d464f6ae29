//! Lists: of all there is, what somebody asks for, a page of it.

use sqlx::Postgres;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Map;

use crate::{Store, StoreError};

impl Store {
    /// A page of a list. Its statement says of each condition that it holds or was not asked for, and is planned for what is asked for each
    /// time: a plan that fits whatever may be asked would read all there is.
    pub(crate) async fn page<F, T>(&self, statement: Map<'_, Postgres, F, PgArguments>) -> Result<Vec<T>, StoreError>
    where
        F: FnMut(PgRow) -> Result<T, sqlx::Error> + Send,
        T: Send + Unpin,
    {
        let mut transaction = self.pool.begin().await?;
        sqlx::query!("set local plan_cache_mode = force_custom_plan").execute(&mut *transaction).await?;
        let rows = statement.fetch_all(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(rows)
    }
}
