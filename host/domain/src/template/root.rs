//! The root of an evaluation.

use std::sync::{Arc, Mutex, PoisonError};

use minijinja::Value as JinjaValue;
use minijinja::value::{Enumerator, Object, Serde};

use super::{Scope, Templates};
use crate::call::CallError;

/// Hands out variables and remembers the first one that was asked for in vain, because a missing root variable is an error with
/// its name, while a missing attribute is merely undefined.
#[derive(Debug)]
struct Root {
    scope: Scope,
    brought_by_the_language: Arc<[String]>,
    missing: Mutex<Option<String>>,
}

pub(super) struct RootHandle(Arc<Root>);

impl RootHandle {
    pub(super) fn over(templates: &Templates, scope: &Scope) -> Self {
        Self(Arc::new(Root {
            scope: scope.clone(),
            brought_by_the_language: Arc::clone(&templates.brought_by_the_language),
            missing: Mutex::new(None),
        }))
    }

    pub(super) fn as_value(&self) -> JinjaValue {
        JinjaValue::from_dyn_object(Arc::clone(&self.0))
    }

    pub(super) fn complain(&self) -> Result<(), CallError> {
        match self.0.missing.lock().unwrap_or_else(PoisonError::into_inner).take() {
            None => Ok(()),
            Some(name) => Err(CallError::permanent(
                "expr.unknown_variable",
                format!("no variable `{name}` is set here; an optional field is `input.{name}`"),
            )),
        }
    }
}

impl Object for Root {
    fn get_value(self: &Arc<Self>, key: &JinjaValue) -> Option<JinjaValue> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<JinjaValue> {
        let found = self.scope.get(key).map(|value| JinjaValue::from(Serde(&**value)));
        if found.is_none() && !self.brought_by_the_language.iter().any(|name| name == key) {
            self.missing.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| key.to_owned());
        }
        found
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}
