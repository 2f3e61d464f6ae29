//! The journal: appended behind the lease's epoch, many runs' outcomes in one statement, and read whole.

use std::time::Duration;

use armilla_domain::id::{ApprovalId, RunId, WorkspaceId};
use armilla_domain::journal::{Entry, Event, ScopePath, Visit};
use armilla_domain::run::{Message, RunStatus};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::events::{EventColumns, NewEvent};
use crate::{CLAIMS_WITHOUT_PROGRESS_MAX, Store, StoreError};

/// Longer bodies lie in a table of their own, so that the journal stays small to scan.
pub(crate) const INLINE_BODY_BYTES_MAX: i32 = 8 * 1024;

/// What is appended to one run's journal, and what else changes with it. Made once, written as often as it takes.
#[derive(Debug)]
pub struct Append {
    /// The run.
    pub run: RunId,
    /// Whose it is.
    pub workspace: WorkspaceId,
    /// The lease's epoch: the append is refused where another host holds the run by now.
    pub epoch: i64,
    /// How many entries the journal has, as far as the caller knows: the append is refused where it has more.
    pub journal_len: i32,
    /// What comes next.
    pub entries: Rows,
    /// What becomes of the run.
    pub then: Then,
    /// Messages that the entries have taken in.
    pub consumed: Vec<i64>,
    /// Runs that this one started and waits for no more: they are told to end.
    pub abandoned: Vec<RunId>,
    /// The decisions that the run waits for now, where they have changed: all of them.
    pub approvals: Option<Vec<Asked>>,
    /// What is told of it.
    pub events: Vec<NewEvent>,
}

/// What becomes of a run after an append.
#[derive(Debug)]
pub enum Then {
    /// Its host goes on with it.
    GoOn {
        /// What it does.
        status: RunStatus,
    },
    /// Nobody holds it until something happens.
    LetGo {
        /// What it does meanwhile.
        status: RunStatus,
        /// When any host may take it up; only a message wakes it where absent. At once where it is past.
        due_at: Option<DateTime<Utc>>,
    },
    /// It has ended.
    End(Box<RunEnd>),
}

/// What a run answered.
#[derive(Debug)]
pub struct RunEnd {
    /// How it ended.
    pub status: RunStatus,
    /// JSON: an object.
    pub vars: String,
    /// JSON.
    pub output: String,
    /// JSON: a failure.
    pub error: Option<String>,
    /// JSON: the tokens of its agent calls.
    pub usage: Option<String>,
    /// The failure's code.
    pub error_code: Option<String>,
    /// How long it is kept.
    pub retain: Option<Duration>,
    /// What is told the run that waits for it.
    pub told_parent: Option<(RunId, Message)>,
}

/// A decision that a run waits for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Its id, where the visit has none yet.
    pub id: ApprovalId,
    /// Which visit asks.
    pub visit: Visit,
    /// What is asked.
    pub message: String,
    /// The roles that may decide.
    pub approvers: Vec<String>,
    /// Until when.
    pub expires_at: Option<DateTime<Utc>>,
    /// What is told where it was not asked before.
    pub event: NewEvent,
}

/// Entries as columns, ready to be written.
#[derive(Debug, Default)]
pub struct Rows {
    pub(crate) at: Vec<DateTime<Utc>>,
    pub(crate) kind: Vec<&'static str>,
    pub(crate) scope: Vec<Option<String>>,
    pub(crate) step: Vec<Option<String>>,
    pub(crate) visit: Vec<Option<i32>>,
    pub(crate) body: Vec<String>,
}

impl Rows {
    /// The columns of some entries.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where an entry cannot be written as JSON.
    pub fn of(entries: &[Entry]) -> Result<Self, StoreError> {
        let mut rows = Self::default();
        for Entry { at, event } in entries {
            let visit = event.visit();
            rows.at.push(*at);
            rows.kind.push(event.kind());
            rows.scope.push(visit.map(|visit| visit.scope.as_str().to_owned()));
            rows.step.push(visit.map(|visit| visit.step.clone()));
            rows.visit.push(visit.map(|visit| visit.number as i32));
            rows.body.push(event.to_body().map_err(|error| StoreError::Corrupt(error.to_string()))?);
        }
        Ok(rows)
    }

    /// How many entries.
    pub fn len(&self) -> usize {
        self.kind.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.kind.is_empty()
    }

    /// What they weigh.
    pub fn bytes(&self) -> i64 {
        self.body.iter().map(|body| body.len() as i64).sum()
    }
}

/// One message for one run.
struct Mail {
    /// Whose append sends it.
    from: Uuid,
    to: Uuid,
    body: String,
}

impl Append {
    fn mail(&self) -> Result<Vec<Mail>, StoreError> {
        let told = match &self.then {
            Then::End(end) => end.told_parent.clone(),
            Then::GoOn { .. } | Then::LetGo { .. } => None,
        };
        let cancel = || Message::Cancel {
            by: self.run.to_string(),
            reason: Some("the run that started it waits for it no more".to_owned()),
        };
        let abandoned = self.abandoned.iter().map(|child| (*child, cancel()));
        abandoned
            .chain(told)
            .map(|(to, message)| {
                let body = serde_json::to_string(&message).map_err(|error| StoreError::Corrupt(error.to_string()))?;
                Ok(Mail { from: self.run.uuid(), to: to.uuid(), body })
            })
            .collect()
    }

    pub(crate) fn status(&self) -> RunStatus {
        match &self.then {
            Then::GoOn { status } | Then::LetGo { status, .. } => *status,
            Then::End(end) => end.status,
        }
    }
}

impl Store {
    /// Appends to the journals of several runs, and moves their status and lease in the same statement. Says for each whether it
    /// took place, now or by an earlier try whose answer was lost; where not, the run belongs to another host by now, what was
    /// computed is worth nothing, and the work stops.
    ///
    /// # Errors
    /// See [`StoreError`]. After [`StoreError::Unavailable`] it is not known whether it took place; the same append again
    /// finds out.
    pub async fn append(&self, appends: &[&Append]) -> Result<Vec<bool>, StoreError> {
        let held = if appends.iter().all(|append| append.is_bare()) {
            self.append_bare(appends).await?
        } else {
            self.append_all(appends).await?
        };
        let mut outcomes = Vec::with_capacity(appends.len());
        for append in appends {
            outcomes.push(held.contains(&append.run.uuid()) || self.was_appended_before(append).await?);
        }
        Ok(outcomes)
    }

    async fn append_all(&self, appends: &[&Append]) -> Result<Vec<Uuid>, StoreError> {
        let runs: Vec<Uuid> = appends.iter().map(|append| append.run.uuid()).collect();
        let each = || appends.iter();
        let ends = || each().map(|append| if let Then::End(end) = &append.then { Some(end) } else { None });
        let owners: Vec<Uuid> = each().flat_map(|append| vec![append.run.uuid(); append.entries.len()]).collect();
        let seqs: Vec<i32> =
            each().flat_map(|append| (1..=append.entries.len() as i32).map(|n| append.journal_len + n)).collect();
        let rows = || each().map(|append| &append.entries);
        let mail: Vec<Mail> =
            each().map(|append| append.mail()).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
        let asked = || each().flat_map(|append| append.approvals.iter().flatten().map(|asked| (append.run, asked)));
        let told = || {
            let of_runs = each().flat_map(|append| append.events.iter().map(|event| (append.run, None, event)));
            of_runs.chain(asked().map(|(run, asked)| (run, Some(asked.id.uuid()), &asked.event)))
        };
        let tellers: Vec<Uuid> = told().map(|(run, _, _)| run.uuid()).collect();
        let of_approvals: Vec<Option<Uuid>> = told().map(|(_, approval, _)| approval).collect();
        let events = EventColumns::of(told().map(|(_, _, event)| event));
        let approvers =
            asked().map(|(_, asked)| serde_json::to_string(&asked.approvers)).collect::<Result<Vec<_>, _>>();
        let held = sqlx::query_scalar!(
            r#"with a as (
                select * from unnest($1::uuid[], $2::bigint[], $3::int[], $4::int[], $5::bigint[], $6::text[], $7::bool[],
                    $8::bool[], $9::timestamptz[], $10::timestamptz[], $11::text[], $12::float8[])
                    as a(run, epoch, len, added, bytes, status, ends, goes_on, due_at, last_at, error_code, retain)
            ), held as (
                update runs set journal_len = journal_len + a.added, status = a.status,
                    claims = case when claims > $38 then claims else 0 end,
                    journal_bytes = journal_bytes + a.bytes,
                    finished_at = case when a.ends then a.last_at end,
                    lease_owner = case when a.goes_on then lease_owner end,
                    due_at = case when a.goes_on then runs.due_at else a.due_at end,
                    error_code = a.error_code,
                    retain_until = case when a.ends then now() + make_interval(secs => a.retain) end
                from a
                where runs.id = a.run and lease_epoch = a.epoch and journal_len = a.len and finished_at is null
                returning runs.id, runs.workspace_id, runs.event_depth
            ), entries as (
                insert into journal (run_id, seq, at, kind, scope, step_id, visit, body)
                select e.run, e.seq, e.at, e.kind, e.scope, e.step_id, e.visit,
                    case when octet_length(e.body) <= $21 then e.body end
                from unnest($13::uuid[], $14::int[], $15::timestamptz[], $16::text[], $17::text[], $18::text[], $19::int[], $20::text[])
                    as e(run, seq, at, kind, scope, step_id, visit, body)
                join held on held.id = e.run
            ), bodies as (
                insert into journal_bodies (run_id, seq, body)
                select e.run, e.seq, e.body from unnest($13::uuid[], $14::int[], $20::text[]) as e(run, seq, body)
                join held on held.id = e.run
                where octet_length(e.body) > $21
            ), results as (
                insert into run_results (run_id, vars, output, error, usage)
                select r.run, r.vars, r.output, r.error, r.usage
                from unnest($1::uuid[], $22::text[], $23::text[], $24::text[], $7::bool[], $39::text[])
                    as r(run, vars, output, error, ends, usage)
                join held on held.id = r.run where r.ends
            ), taken_in as (
                delete from run_inbox i using held where i.run_id = held.id and i.id = any($25::bigint[])
            ), mail as (
                insert into run_inbox (run_id, body)
                select m.recipient, m.body from unnest($26::uuid[], $27::uuid[], $28::text[]) as m(sender, recipient, body)
                join held on held.id = m.sender
                -- A step that is over lets go of its run, which mostly has ended.
                where exists (select from runs r where r.id = m.recipient and r.finished_at is null)
            ), asked as (
                insert into approvals (id, workspace_id, run_id, scope, step_id, visit, message, approvers, expires_at)
                select q.id, held.workspace_id, q.run, q.scope, q.step_id, q.visit, q.message,
                    array(select jsonb_array_elements_text(q.approvers::jsonb)), q.expires_at
                from unnest($29::uuid[], $30::uuid[], $31::text[], $32::text[], $33::int[], $34::text[], $35::text[], $36::timestamptz[])
                    as q(run, id, scope, step_id, visit, message, approvers, expires_at)
                join held on held.id = q.run
                on conflict (run_id, scope, step_id, visit) do nothing
                returning approvals.id
            ), settled as (
                update approvals set decided_at = now(),
                    status = case when expires_at <= now() then 'expired' else 'withdrawn' end
                from held where approvals.run_id = held.id and held.id = any($37::uuid[]) and approvals.status = 'open'
                    and not exists (
                        select from unnest($29::uuid[], $31::text[], $32::text[], $33::int[]) as q(run, scope, step_id, visit)
                        where q.run = approvals.run_id and q.scope = approvals.scope and q.step_id = approvals.step_id
                            and q.visit = approvals.visit
                    )
                returning approvals.id, approvals.run_id, approvals.step_id, approvals.status, held.workspace_id, held.event_depth
            ), told as (
                insert into events (id, workspace_id, type, data, depth)
                select e.id, held.workspace_id, e.type, e.data, e.depth
                from unnest($40::uuid[], $41::uuid[], $42::text[], $43::text[], $44::smallint[], $45::uuid[])
                    as e(run, id, type, data, depth, approval)
                join held on held.id = e.run
                where e.approval is null or e.approval in (select asked.id from asked)
                union all
                select new_event_id(), s.workspace_id, 'approval.decided', json_build_object(
                    'approvalId', 'apr_' || replace(s.id::text, '-', ''), 'runId', 'run_' || replace(s.run_id::text, '-', ''),
                    'stepId', s.step_id, 'status', s.status)::text, s.event_depth
                from settled s
            )
            select id as "id!" from held"#,
            &runs,
            &each().map(|append| append.epoch).collect::<Vec<_>>(),
            &each().map(|append| append.journal_len).collect::<Vec<_>>(),
            &each().map(|append| append.entries.len() as i32).collect::<Vec<_>>(),
            &each().map(|append| append.entries.bytes()).collect::<Vec<_>>(),
            &each().map(|append| append.status().as_str()).collect::<Vec<_>>() as &[&str],
            &ends().map(|end| end.is_some()).collect::<Vec<_>>(),
            &each().map(|append| matches!(append.then, Then::GoOn { .. })).collect::<Vec<_>>(),
            &each()
                .map(|append| if let Then::LetGo { due_at, .. } = &append.then { *due_at } else { None })
                .collect::<Vec<_>>() as &[Option<DateTime<Utc>>],
            &rows().map(|rows| rows.at.last().copied()).collect::<Vec<_>>() as &[Option<DateTime<Utc>>],
            &ends().map(|end| end.and_then(|end| end.error_code.as_deref())).collect::<Vec<_>>() as &[Option<&str>],
            &ends().map(|end| end.and_then(|end| end.retain).map(|retain| retain.as_secs_f64())).collect::<Vec<_>>()
                as &[Option<f64>],
            &owners,
            &seqs,
            &rows().flat_map(|rows| rows.at.iter().copied()).collect::<Vec<_>>(),
            &rows().flat_map(|rows| rows.kind.iter().copied()).collect::<Vec<_>>() as &[&str],
            &rows().flat_map(|rows| rows.scope.iter().map(Option::as_deref)).collect::<Vec<_>>() as &[Option<&str>],
            &rows().flat_map(|rows| rows.step.iter().map(Option::as_deref)).collect::<Vec<_>>() as &[Option<&str>],
            &rows().flat_map(|rows| rows.visit.iter().copied()).collect::<Vec<_>>() as &[Option<i32>],
            &rows().flat_map(|rows| rows.body.iter().map(String::as_str)).collect::<Vec<_>>() as &[&str],
            INLINE_BODY_BYTES_MAX,
            &ends().map(|end| end.map(|end| end.vars.as_str())).collect::<Vec<_>>() as &[Option<&str>],
            &ends().map(|end| end.map(|end| end.output.as_str())).collect::<Vec<_>>() as &[Option<&str>],
            &ends().map(|end| end.and_then(|end| end.error.as_deref())).collect::<Vec<_>>() as &[Option<&str>],
            &each().flat_map(|append| append.consumed.iter().copied()).collect::<Vec<_>>(),
            &mail.iter().map(|mail| mail.from).collect::<Vec<_>>(),
            &mail.iter().map(|mail| mail.to).collect::<Vec<_>>(),
            &mail.iter().map(|mail| mail.body.as_str()).collect::<Vec<_>>() as &[&str],
            &asked().map(|(run, _)| run.uuid()).collect::<Vec<_>>(),
            &asked().map(|(_, asked)| asked.id.uuid()).collect::<Vec<_>>(),
            &asked().map(|(_, asked)| asked.visit.scope.as_str()).collect::<Vec<_>>() as &[&str],
            &asked().map(|(_, asked)| asked.visit.step.as_str()).collect::<Vec<_>>() as &[&str],
            &asked().map(|(_, asked)| asked.visit.number as i32).collect::<Vec<_>>(),
            &asked().map(|(_, asked)| asked.message.as_str()).collect::<Vec<_>>() as &[&str],
            &approvers.map_err(|error| StoreError::Corrupt(error.to_string()))?,
            &asked().map(|(_, asked)| asked.expires_at).collect::<Vec<_>>() as &[Option<DateTime<Utc>>],
            &each().filter(|append| append.approvals.is_some()).map(|append| append.run.uuid()).collect::<Vec<_>>(),
            CLAIMS_WITHOUT_PROGRESS_MAX,
            &ends().map(|end| end.and_then(|end| end.usage.as_deref())).collect::<Vec<_>>() as &[Option<&str>],
            &tellers,
            &events.id,
            &events.kind as &[&str],
            &events.data as &[&str],
            &events.depth,
            &of_approvals as &[Option<Uuid>],
        );
        self.kept.fetch_ids(held).await
    }

    /// An append that found nothing to change may be the second try of one whose answer was lost.
    async fn was_appended_before(&self, append: &Append) -> Result<bool, StoreError> {
        let position = sqlx::query!(
            r#"select lease_epoch, journal_len, lease_owner is not null as "is_leased!", finished_at is not null as "ended!"
            from runs where id = $1"#,
            append.run.uuid()
        )
        .fetch_optional(&self.pool)
        .await?;
        let expected = append.journal_len + append.entries.len() as i32;
        Ok(position.is_some_and(|run| {
            let came_to = match append.then {
                Then::GoOn { .. } => run.is_leased && !run.ended,
                Then::LetGo { .. } => !run.is_leased && !run.ended,
                Then::End(_) => run.ended,
            };
            run.lease_epoch == append.epoch && run.journal_len == expected && came_to
        }))
    }

    /// The journal of a run, in order, from the entry after `after` on, at most `limit` of them.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn journal_after(&self, run: RunId, after: i32, limit: u32) -> Result<Vec<(i32, Entry)>, StoreError> {
        let rows = sqlx::query!(
            r#"select j.seq, j.at, j.kind, j.scope, j.step_id, j.visit, coalesce(j.body, b.body) as "body!"
            from journal j left join journal_bodies b on b.run_id = j.run_id and b.seq = j.seq
            where j.run_id = $1 and j.seq > $2 order by j.seq limit $3"#,
            run.uuid(),
            after,
            i64::from(limit),
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                let visit = row.step_id.map(|step| Visit {
                    scope: ScopePath::from_stored(row.scope.unwrap_or_default()),
                    step,
                    number: row.visit.unwrap_or_default() as u32,
                });
                let event = Event::from_body(&row.body, visit).map_err(|error| {
                    StoreError::Corrupt(format!("an entry of {run} of kind `{}`: {error}", row.kind))
                })?;
                Ok((row.seq, Entry { at: row.at, event }))
            })
            .collect()
    }

    /// The journal of a run, in order.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn journal(&self, run: RunId) -> Result<Vec<Entry>, StoreError> {
        let entries = self.journal_after(run, 0, i32::MAX as u32).await?;
        Ok(entries.into_iter().map(|(_, entry)| entry).collect())
    }

    /// The first entry of a run, which holds its input.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn first_entry(&self, run: RunId) -> Result<Option<Event>, StoreError> {
        let first = self.journal_after(run, 0, 1).await?;
        Ok(first.into_iter().next().map(|(_, entry)| entry.event))
    }
}
