//! What happened. Written by the statements that make it happen; here is what else is done with it.

use armilla_domain::event::EventType;
use armilla_domain::id::{EventId, WorkspaceId};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::event_cursors::events_after;
use crate::{Store, StoreError};

/// Something that is to be told.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Its id.
    pub id: EventId,
    /// What kind of thing happened.
    pub kind: EventType,
    /// JSON: an object.
    pub data: String,
    /// How many events and runs in turn led to it.
    pub depth: i16,
}

/// Something that happened.
#[derive(Debug, Clone)]
pub struct EventRow {
    /// Its id.
    pub id: EventId,
    /// Its type: dotted.
    pub kind: String,
    /// When.
    pub at: DateTime<Utc>,
    /// JSON: an object.
    pub data: String,
    /// How many events and runs in turn led to it.
    pub depth: i16,
    /// The transaction that wrote it: with the id, its place in the order of all events.
    pub transaction: i64,
}

/// A place in the order of the events of a workspace: after this event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventPosition {
    /// The transaction that wrote the event.
    pub transaction: i64,
    /// Its id.
    pub id: EventId,
}

impl EventPosition {
    /// Before every event that a transaction from `horizon` on writes, and after all others.
    pub fn before(horizon: i64) -> Self {
        Self { transaction: horizon - 1, id: EventId::from_uuid(Uuid::max()) }
    }
}

/// Its columns as the database has them.
pub(crate) struct Stored {
    pub(crate) id: Uuid,
    pub(crate) kind: String,
    pub(crate) at: DateTime<Utc>,
    pub(crate) data: String,
    pub(crate) depth: i16,
    pub(crate) transaction: i64,
}

impl From<Stored> for EventRow {
    fn from(Stored { id, kind, at, data, depth, transaction }: Stored) -> Self {
        Self { id: EventId::from_uuid(id), kind, at, data, depth, transaction }
    }
}

impl EventRow {
    /// Its place among the others.
    pub fn position(&self) -> EventPosition {
        EventPosition { transaction: self.transaction, id: self.id }
    }
}

/// Events as columns, the shape in which `unnest` takes them.
pub(crate) struct EventColumns<'a> {
    pub(crate) id: Vec<Uuid>,
    pub(crate) kind: Vec<&'static str>,
    pub(crate) data: Vec<&'a str>,
    pub(crate) depth: Vec<i16>,
}

impl<'a> EventColumns<'a> {
    pub(crate) fn of(events: impl IntoIterator<Item = &'a NewEvent>) -> Self {
        let mut columns = Self { id: Vec::new(), kind: Vec::new(), data: Vec::new(), depth: Vec::new() };
        for NewEvent { id, kind, data, depth } in events {
            columns.id.push(id.uuid());
            columns.kind.push(kind.as_str());
            columns.data.push(data);
            columns.depth.push(*depth);
        }
        columns
    }
}

impl Store {
    /// Tells of something that no other statement writes down.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn add_event(&self, workspace: WorkspaceId, event: &NewEvent) -> Result<(), StoreError> {
        sqlx::query!(
            "with workspace as (insert into workspaces (id) values ($2) on conflict do nothing)
            insert into events (id, workspace_id, type, data, depth) values ($1, $2, $3, $4, $5)",
            event.id.uuid(),
            workspace.uuid(),
            event.kind.as_str(),
            event.data,
            event.depth,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Events of a workspace, the last ones written first, from before `before` on; of some types, and from some time,
    /// where they are named.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn events(
        &self,
        workspace: WorkspaceId,
        kinds: Option<&[EventType]>,
        from: Option<DateTime<Utc>>,
        until: Option<DateTime<Utc>>,
        before: Option<EventPosition>,
        limit: u32,
    ) -> Result<Vec<EventRow>, StoreError> {
        let kinds = kinds.map(names_of);
        let events = sqlx::query_as!(
            Stored,
            "select id, type as kind, at, data, depth, transaction from events
            where workspace_id = $1 and ($2::text[] is null or type = any($2))
                and ($3::bigint is null or (transaction, id) < ($3, $4::uuid))
                and ($6::timestamptz is null or (at >= $6 and id >= first_run_id($6 - interval '1 hour')))
                and ($7::timestamptz is null or (at < $7 and id < first_run_id($7 + interval '1 hour')))
                -- None that was written so late is passed by on the way there: by the database's clock, for ids are of the hosts' own.
                and ($7::timestamptz is null or transaction <= coalesce((
                    select last.transaction from events last where last.id >= first_run_id($7 + interval '1 hour') and last.at >= $7
                    order by last.id limit 1
                ), 9223372036854775807))
            order by transaction desc, id desc limit $5",
            workspace.uuid(),
            kinds.as_deref() as Option<&[&str]>,
            before.map(|before| before.transaction),
            before.map(|before| before.id.uuid()),
            i64::from(limit),
            from,
            until,
        );
        Ok(self.page(events).await?.into_iter().map(EventRow::from).collect())
    }

    /// An event of a workspace.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn event(&self, workspace: WorkspaceId, id: EventId) -> Result<Option<EventRow>, StoreError> {
        let event = sqlx::query_as!(
            Stored,
            "select id, type as kind, at, data, depth, transaction from events where id = $1 and workspace_id = $2",
            id.uuid(),
            workspace.uuid(),
        );
        Ok(event.fetch_optional(&self.pool).await?.map(EventRow::from))
    }

    /// The transaction before which no event appears any more: whoever reads up to it, exclusively and in a later statement, passes nothing
    /// over. Only transactions of hosts hold it back, which are short, whatever else goes on in the database.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn event_horizon(&self) -> Result<i64, StoreError> {
        // Ids of transactions are handed out in order, and each is seen among those that go on until it is seen to have ended. The
        // snapshot is older than the look at what goes on, so what is in neither has ended, and a later snapshot has it. Those that began
        // since are beyond it.
        let horizon = sqlx::query_scalar!(
            r#"with newest as (select pg_snapshot_xmax(pg_current_snapshot())::text::bigint as next)
            select least(next, (
                select min(next - case when d.behind < 2147483648 then d.behind else 0 end)
                from pg_stat_activity a, lateral (select (next - a.backend_xid::text::bigint) & 4294967295 as behind) d
                where a.backend_xid is not null and a.datname = current_database() and a.usename = current_user
                    and a.pid <> pg_backend_pid()
            )) as "horizon!" from newest"#
        );
        Ok(horizon.fetch_one(&self.pool).await?)
    }

    /// Sees to it that what is written from now on comes after all that is there: in a database that was restored from a dump, transactions
    /// are counted anew. Their order stays as it is, and so does how far everybody has followed them. Says whether there was anything to do.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn mend_event_order(&self) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin().await?;
        // Two hosts may start at once.
        sqlx::query!("select pg_advisory_xact_lock(hashtext('mend_event_order'))").execute(&mut *transaction).await?;
        let ahead = sqlx::query_scalar!(
            r#"select greatest(
                (select max(transaction) from event_cursors),
                (select transaction from events order by id desc limit 1),
                (select max(on_events_since) from workflows),
                (select max(since) from webhooks)
            ) - pg_snapshot_xmax(pg_current_snapshot())::text::bigint + 1 as ahead"#
        );
        let ahead = ahead.fetch_one(&mut *transaction).await?.filter(|ahead| *ahead > 0);
        if let Some(ahead) = ahead {
            sqlx::query!("update events set transaction = transaction - $1", ahead).execute(&mut *transaction).await?;
            sqlx::query!("update event_cursors set transaction = transaction - $1", ahead)
                .execute(&mut *transaction)
                .await?;
            sqlx::query!(
                "update workflows set on_events_since = on_events_since - $1 where on_events_since is not null",
                ahead
            )
            .execute(&mut *transaction)
            .await?;
            sqlx::query!("update webhooks set since = since - $1", ahead).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(ahead.is_some())
    }

    /// Events of a workspace in order, after a place and before a horizon; of some types where they are named.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn events_after(
        &self,
        workspace: WorkspaceId,
        after: EventPosition,
        horizon: i64,
        kinds: Option<&[EventType]>,
        limit: u32,
    ) -> Result<Vec<EventRow>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        events_after(&mut connection, workspace, after, horizon, kinds, limit).await
    }

    /// Drops whole months of events that are older than so many days, without stopping anybody for longer than two seconds.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn drop_old_events(&self, days: i32) -> Result<i32, StoreError> {
        let dropped = sqlx::query_scalar!(
            r#"select drop_event_partitions_before(now() - make_interval(days => $1)) as "dropped!""#,
            days
        );
        Ok(dropped.fetch_one(&self.pool).await?)
    }
}

/// Waits until no other transaction changes this thing, and keeps others waiting until this one ends. To be asked before anything else: a
/// transaction is given its place in the order of all events when it first locks a row, and would have it already while it waits for that row.
pub(crate) async fn in_turn(connection: &mut PgConnection, thing: &str) -> Result<(), StoreError> {
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended($1, 0))", thing).execute(connection).await?;
    Ok(())
}

pub(crate) fn names_of(kinds: &[EventType]) -> Vec<&'static str> {
    kinds.iter().map(|kind| kind.as_str()).collect()
}
