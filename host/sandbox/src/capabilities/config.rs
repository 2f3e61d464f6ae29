//! Values that an operator set.

use armilla_domain::plugin::permit_config;

use crate::bindings::config::{Denial, Host};
use crate::state::State;

impl Host for State {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<String, Denial>> {
        self.count()?;
        let value = permit_config(&self.given.needs, &self.given.access.grant, &key).map(str::to_owned);
        Ok(value.map_err(|denial| self.denied(denial)))
    }
}
