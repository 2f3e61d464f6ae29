//! What keeps a template from using up the stack.

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::{TEMPLATE_SOURCE_BYTES_MAX, TEMPLATE_TOKENS_MAX, describe};

/// The tests have half of the stack that everybody else has, and no optimisation: what they do is safe with a factor of two.
const SAFETY_FACTOR: usize = if cfg!(test) { 1 } else { 2 };
/// Stack of a template that has next to no code.
const STACK_BASE_BYTES: usize = SAFETY_FACTOR * 128 * 1024;
/// Stack that one token can make a template use.
const STACK_BYTES_PER_TOKEN: usize = SAFETY_FACTOR * 8 * 1024;

/// What a source is: text with code between braces, or code alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Template,
    Expression,
}

/// Does `work` on a source, with stack enough for it.
///
/// The language bounds how deep brackets and blocks nest, but not how long a chain grows (`a.b.b.b`, `1+1+1`, `elif` after
/// `elif`), nor how deep a value nests that a template builds; compiler, comparison, serialiser and destructor then recurse
/// once for each link. No link is made of less than a token, so the number of tokens, as the language's own lexer counts
/// them, bounds every such depth, whatever the construct. A short template runs on the stack that is there; a long one gets
/// a piece of its own, which only costs memory where it is used.
pub(super) fn within_bounds<T>(source: &str, kind: Source, work: impl FnOnce() -> T) -> Result<T, String> {
    let stack_bytes = STACK_BASE_BYTES + count_tokens(source, kind)? * STACK_BYTES_PER_TOKEN;
    Ok(stacker::maybe_grow(stack_bytes, stack_bytes, work))
}

fn count_tokens(source: &str, kind: Source) -> Result<usize, String> {
    if source.len() > TEMPLATE_SOURCE_BYTES_MAX {
        return Err(format!("longer than {TEMPLATE_SOURCE_BYTES_MAX} bytes"));
    }
    let mut count = 0;
    for token in tokenize(source, kind == Source::Expression, SyntaxConfig::default()) {
        let (token, _) = token.map_err(|error| describe(&error))?;
        count += usize::from(!matches!(token, Token::TemplateData(_)));
        if count > TEMPLATE_TOKENS_MAX {
            return Err(format!("more than {TEMPLATE_TOKENS_MAX} words and signs of code"));
        }
    }
    Ok(count)
}
