use crate::guest::armilla::plugin as contract;
use crate::log::Level;
use crate::{Denial, http, kv};

pub(crate) fn log(level: Level, message: &str) {
    let level = match level {
        Level::Debug => contract::log::Level::Debug,
        Level::Info => contract::log::Level::Info,
        Level::Warn => contract::log::Level::Warn,
        Level::Error => contract::log::Level::Error,
    };
    contract::log::write(level, message);
}

pub(crate) fn config(key: &str) -> Result<String, Denial> {
    contract::config::get(key).map_err(denial)
}

pub(crate) fn secret(name: &str) -> Result<String, Denial> {
    contract::secrets::get(name).map_err(denial)
}

pub(crate) fn send(request: http::Request) -> Result<http::Response, http::Error> {
    let timeout = request.timeout.map(|timeout| u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX));
    let request = contract::http::Request {
        method: request.method,
        url: request.url,
        headers: request.headers,
        body: request.body,
        timeout_milliseconds: timeout,
    };
    match contract::http::send(&request) {
        Ok(contract::http::Response { status, headers, body }) => Ok(http::Response { status, headers, body }),
        Err(error) => Err(match error {
            contract::http::HttpError::Denied(missing) => http::Error::Denied(denial(missing)),
            contract::http::HttpError::InvalidRequest(message) => http::Error::InvalidRequest(message),
            contract::http::HttpError::Timeout(message) => http::Error::Timeout(message),
            contract::http::HttpError::TooLarge(message) => http::Error::TooLarge(message),
            contract::http::HttpError::Unavailable(message) => http::Error::Unavailable(message),
        }),
    }
}

pub(crate) fn kv_get(namespace: &str, key: &str) -> Result<Option<kv::Entry>, kv::Error> {
    let found = contract::kv::get(namespace, key).map_err(kv_error)?;
    Ok(found.map(|contract::kv::Entry { value, revision }| kv::Entry { value, revision }))
}

pub(crate) fn kv_put(namespace: &str, key: &str, value: &str, expected: Option<u64>) -> Result<u64, kv::Error> {
    contract::kv::put(namespace, key, value, expected).map_err(kv_error)
}

pub(crate) fn kv_delete(namespace: &str, key: &str, expected: Option<u64>) -> Result<bool, kv::Error> {
    contract::kv::delete(namespace, key, expected).map_err(kv_error)
}

pub(crate) fn kv_list(
    namespace: &str,
    prefix: &str,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<String>, kv::Error> {
    contract::kv::list(namespace, prefix, after, limit).map_err(kv_error)
}

fn denial(contract::types::Denial { capability, message }: contract::types::Denial) -> Denial {
    Denial { capability, message }
}

fn kv_error(error: contract::kv::KvError) -> kv::Error {
    match error {
        contract::kv::KvError::Denied(missing) => kv::Error::Denied(denial(missing)),
        contract::kv::KvError::Conflict(revision) => kv::Error::Conflict(revision),
        contract::kv::KvError::Refused(message) => kv::Error::Refused(message),
        contract::kv::KvError::Unavailable(message) => kv::Error::Unavailable(message),
    }
}
