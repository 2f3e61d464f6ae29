use crate::log::Level;
use crate::{Denial, http, kv};

pub(crate) fn log(level: Level, message: &str) {
    eprintln!("{level:?}: {message}");
}

pub(crate) fn config(key: &str) -> Result<String, Denial> {
    Err(Denial { capability: format!("config:{key}"), message: only_inside("configuration is there") })
}

pub(crate) fn secret(name: &str) -> Result<String, Denial> {
    Err(Denial { capability: format!("secret:{name}"), message: only_inside("secrets are there") })
}

pub(crate) fn send(request: http::Request) -> Result<http::Response, http::Error> {
    Err(http::Error::Unavailable(only_inside(&format!("{} requests are answered", request.method))))
}

pub(crate) fn kv_get(_namespace: &str, _key: &str) -> Result<Option<kv::Entry>, kv::Error> {
    Err(no_kv())
}

pub(crate) fn kv_put(_namespace: &str, _key: &str, _value: &str, _expected: Option<u64>) -> Result<u64, kv::Error> {
    Err(no_kv())
}

pub(crate) fn kv_delete(_namespace: &str, _key: &str, _expected: Option<u64>) -> Result<bool, kv::Error> {
    Err(no_kv())
}

pub(crate) fn kv_list(
    _namespace: &str,
    _prefix: &str,
    _after: Option<&str>,
    _limit: u32,
) -> Result<Vec<String>, kv::Error> {
    Err(no_kv())
}

fn no_kv() -> kv::Error {
    kv::Error::Unavailable(only_inside("the key-value store is there"))
}

fn only_inside(what: &str) -> String {
    format!("{what} only inside a host")
}
