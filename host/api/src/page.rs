//! Lists, a page at a time. A cursor is the id of the last thing on the page before, so it stays good for ever.

use std::fmt::Display;
use std::str::FromStr;

use serde::Deserialize;
use utoipa::IntoParams;

use crate::problem::{Code, Problem};

/// The query of a list.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// How many, at most; the most that a list gives where absent.
    #[param(minimum = 1, required = false)]
    pub limit: Option<u32>,
    /// The `nextCursor` of the page before; the list's beginning where absent.
    #[param(required = false)]
    pub cursor: Option<String>,
}

/// Which part of a list is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page<K> {
    /// How many things, at most.
    pub limit: u32,
    /// The thing after which the page begins.
    pub after: Option<K>,
}

impl PageQuery {
    /// The page that is asked for, of a list that gives at most `limit_max` at once.
    pub fn page<K: FromStr>(self, limit_max: u32) -> Result<Page<K>, Problem> {
        let limit = self.limit.unwrap_or(limit_max);
        if limit < 1 || limit > limit_max {
            return Err(Problem::new(Code::QueryInvalid, format!("`limit` is {limit}; it must be 1 to {limit_max}.")));
        }
        let wrong = || Problem::new(Code::QueryInvalid, "`cursor` is not a `nextCursor` of this list.");
        // Some ids are text, and no text in the database has this character.
        if self.cursor.as_ref().is_some_and(|cursor| cursor.contains('\0')) {
            return Err(wrong());
        }
        let after = self.cursor.map(|cursor| cursor.parse().map_err(|_| wrong())).transpose()?;
        Ok(Page { limit, after })
    }
}

impl<K: Display> Page<K> {
    /// How many rows to read: one more than is shown tells whether there is a next page.
    pub fn rows(&self) -> u32 {
        self.limit + 1
    }

    /// The page's things out of `rows`, and the cursor of the next page where there is one.
    pub fn cut<T>(&self, mut rows: Vec<T>, key: impl FnOnce(&T) -> K) -> (Vec<T>, Option<String>) {
        let limit = self.limit as usize;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = if more { rows.last().map(|last| key(last).to_string()) } else { None };
        (rows, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(limit: Option<u32>, cursor: Option<&str>) -> Result<Page<u32>, Code> {
        PageQuery { limit, cursor: cursor.map(str::to_owned) }.page(100).map_err(|problem| problem.code())
    }

    #[test]
    fn a_page_is_as_long_as_asked_for_within_the_list_s_bound() {
        assert_eq!(page(None, None), Ok(Page { limit: 100, after: None }));
        assert_eq!(page(Some(3), Some("7")), Ok(Page { limit: 3, after: Some(7) }));
        assert_eq!(page(Some(0), None), Err(Code::QueryInvalid));
        assert_eq!(page(Some(101), None), Err(Code::QueryInvalid));
        assert_eq!(page(None, Some("x")), Err(Code::QueryInvalid));
        let text = PageQuery { limit: None, cursor: Some("a\0b".to_owned()) };
        assert!(text.page::<String>(100).is_err());
    }

    #[test]
    fn there_is_a_cursor_only_where_something_follows() {
        let page = Page { limit: 2, after: None::<u32> };
        assert_eq!(page.cut(vec![9, 8, 7], |n| *n), (vec![9, 8], Some("8".to_owned())));
        assert_eq!(page.cut(vec![9, 8], |n| *n), (vec![9, 8], None));
        assert_eq!(page.cut(vec![], |n| *n), (vec![], None));
    }
}
