//! How far events have been followed. Whoever follows the events of a workspace has a row for it, and moves it in the transaction that writes
//! what came of them: each event counts once, whichever host looks.

use armilla_domain::event::EventType;
use armilla_domain::id::{EventId, WorkspaceId};
use sqlx::PgConnection;

use crate::events::Stored;
use crate::{EventPosition, EventRow, Store, StoreError};

/// Who follows events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventConsumer {
    /// Makes deliveries of them.
    Webhooks,
    /// Starts runs by them.
    Triggers,
}

impl EventConsumer {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Webhooks => "webhooks",
            Self::Triggers => "triggers",
        }
    }
}

impl Store {
    /// As [`Store::event_horizon`], where anybody follows events for `consumer` at all: nobody looks for what nobody wants.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn horizon_of_followed(&self, consumer: EventConsumer) -> Result<Option<i64>, StoreError> {
        let followed = sqlx::query_scalar!(
            r#"select exists (select from event_cursors where consumer = $1) as "followed!""#,
            consumer.as_str(),
        );
        if followed.fetch_one(&self.pool).await? { self.event_horizon().await.map(Some) } else { Ok(None) }
    }

    /// Workspaces whose events before `horizon` have not all been looked at by somebody who follows them.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn workspaces_to_follow(
        &self,
        consumer: EventConsumer,
        horizon: i64,
    ) -> Result<Vec<WorkspaceId>, StoreError> {
        let workspaces = sqlx::query_scalar!(
            "select workspace_id from event_cursors c
            where consumer = $1 and exists (
                select from events e
                where e.workspace_id = c.workspace_id and (e.transaction, e.id) > (c.transaction, c.event_id)
                    and e.transaction < $2
            )",
            consumer.as_str(),
            horizon,
        );
        Ok(workspaces.fetch_all(&self.pool).await?.into_iter().map(WorkspaceId::from_uuid).collect())
    }
}

/// Begins to follow a workspace's events, from those on that are written from now on; goes on where it is followed already. `horizon` was
/// asked for before. Until the transaction ends nobody else moves the cursor, or ends it since nothing seems to follow it.
pub(crate) async fn start_cursor(
    connection: &mut PgConnection,
    consumer: EventConsumer,
    workspace: WorkspaceId,
    horizon: i64,
) -> Result<(), StoreError> {
    let EventPosition { transaction, id } = EventPosition::before(horizon);
    sqlx::query!(
        "insert into event_cursors (consumer, workspace_id, transaction, event_id) values ($1, $2, $3, $4)
        on conflict (consumer, workspace_id) do update set transaction = event_cursors.transaction",
        consumer.as_str(),
        workspace.uuid(),
        transaction,
        id.uuid(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Follows a workspace's events no more.
pub(crate) async fn end_cursor(
    connection: &mut PgConnection,
    consumer: EventConsumer,
    workspace: WorkspaceId,
) -> Result<(), StoreError> {
    sqlx::query!(
        "delete from event_cursors where consumer = $1 and workspace_id = $2",
        consumer.as_str(),
        workspace.uuid(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes a workspace's cursor until the transaction ends; `None` where it is not followed, or another host is at it.
pub(crate) async fn lock_cursor(
    connection: &mut PgConnection,
    consumer: EventConsumer,
    workspace: WorkspaceId,
) -> Result<Option<EventPosition>, StoreError> {
    let row = sqlx::query!(
        "select transaction, event_id from event_cursors where consumer = $1 and workspace_id = $2
        for update skip locked",
        consumer.as_str(),
        workspace.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| EventPosition { transaction: row.transaction, id: EventId::from_uuid(row.event_id) }))
}

/// Moves a cursor that was taken.
pub(crate) async fn move_cursor(
    connection: &mut PgConnection,
    consumer: EventConsumer,
    workspace: WorkspaceId,
    to: EventPosition,
) -> Result<(), StoreError> {
    sqlx::query!(
        "update event_cursors set transaction = $3, event_id = $4 where consumer = $1 and workspace_id = $2",
        consumer.as_str(),
        workspace.uuid(),
        to.transaction,
        to.id.uuid(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Events of a workspace in order, after a place and before a horizon; of some types where they are named.
pub(crate) async fn events_after(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    after: EventPosition,
    horizon: i64,
    kinds: Option<&[EventType]>,
    limit: u32,
) -> Result<Vec<EventRow>, StoreError> {
    let kinds: Option<Vec<&str>> = kinds.map(|kinds| kinds.iter().map(|kind| kind.as_str()).collect());
    let events = sqlx::query_as!(
        Stored,
        "select id, type as kind, at, data, depth, transaction from events
        where workspace_id = $1 and (transaction, id) > ($2, $3::uuid) and transaction < $4
            and ($5::text[] is null or type = any($5))
        order by transaction, id limit $6",
        workspace.uuid(),
        after.transaction,
        after.id.uuid(),
        horizon,
        kinds.as_deref() as Option<&[&str]>,
        i64::from(limit),
    );
    Ok(events.fetch_all(connection).await?.into_iter().map(EventRow::from).collect())
}
