//! How long it took to find and to reach a host, and by which connection a request went.
//!
//! The client decides by itself whether a request waits for a connection of its own or goes by one that another request
//! gave back, and may finish a connection in the background that nobody waits for any more. So each try to connect has a
//! record of its own, which it carries along wherever it is driven, and is told from others by its socket's addresses.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use hyper_util::client::legacy::connect::{Connection, HttpInfo};
use tower::{Layer, Service};

tokio::task_local! {
    /// The exchange that the current task performs.
    static TRIES: Tries;
    /// The try to connect that is being driven.
    static TRY: Record;
}

type Record = Arc<Mutex<Try>>;

/// All tries to connect that one exchange began; more than one where the client found a kept connection closed.
#[derive(Clone, Default)]
pub(crate) struct Tries(Arc<Mutex<Vec<Record>>>);

/// One try to connect. What it did not come to is absent.
#[derive(Clone)]
pub(crate) struct Try {
    pub(crate) began: Instant,
    /// Absent where the host is an address.
    pub(crate) resolving: Option<Instant>,
    pub(crate) resolved: Option<Instant>,
    pub(crate) connected: Option<Instant>,
    pub(crate) connection: Option<HttpInfo>,
}

impl Tries {
    /// Performs `exchange`; what it connects to is recorded here.
    pub(crate) async fn record<T>(&self, exchange: impl Future<Output = T>) -> T {
        TRIES.scope(self.clone(), exchange).await
    }

    /// The try that made `connection`, or the last one where that is unknown. None: the connection was there before.
    pub(crate) fn which_made(&self, connection: Option<&HttpInfo>) -> Option<Try> {
        let tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tries = tries.iter().map(read);
        let Some(connection) = connection else { return tries.next_back() };
        tries.find(|tried| tried.connection.as_ref().is_some_and(|made| is_same(made, connection)))
    }

    fn begin(&self) -> Record {
        let began = Instant::now();
        let tried = Try { began, resolving: None, resolved: None, connected: None, connection: None };
        let record = Arc::new(Mutex::new(tried));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&record));
        record
    }
}

/// No two connections have both ends in common at a time, and a port is not given out again within an exchange.
fn is_same(one: &HttpInfo, other: &HttpInfo) -> bool {
    one.local_addr() == other.local_addr() && one.remote_addr() == other.remote_addr()
}

fn read(record: &Record) -> Try {
    record.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn write(record: &Record, change: impl FnOnce(&mut Try)) {
    change(&mut record.lock().unwrap_or_else(PoisonError::into_inner));
}

/// Records how long it takes to resolve a name. One that fails stays without an end.
pub(crate) async fn resolving<T, E>(lookup: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let record = TRY.try_with(Record::clone).ok();
    if let Some(record) = &record {
        write(record, |tried| tried.resolving = Some(Instant::now()));
    }
    let found = lookup.await?;
    if let Some(record) = &record {
        write(record, |tried| tried.resolved = Some(Instant::now()));
    }
    Ok(found)
}

/// Records the tries to connect of the exchanges that ask for it.
#[derive(Clone)]
pub(crate) struct Measure;

impl<S> Layer<S> for Measure {
    type Service = Measured<S>;

    fn layer(&self, connector: S) -> Measured<S> {
        Measured(connector)
    }
}

/// A connector, measured.
#[derive(Clone)]
pub(crate) struct Measured<S>(S);

impl<S, Target> Service<Target> for Measured<S>
where
    S: Service<Target>,
    S::Response: Connection,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, target: Target) -> Self::Future {
        let connecting = self.0.call(target);
        let Ok(record) = TRIES.try_with(Tries::begin) else { return Box::pin(connecting) };
        Box::pin(async move {
            let made = TRY.scope(Arc::clone(&record), connecting).await?;
            let mut extras = Default::default();
            made.connected().get_extras(&mut extras);
            write(&record, |tried| {
                tried.connected = Some(Instant::now());
                tried.connection = extras.get().cloned();
            });
            Ok(made)
        })
    }
}
