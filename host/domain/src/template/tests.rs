use serde_json::json;

use super::*;

fn scope() -> Scope {
    [("topic", json!("tea")), ("feedback", json!({ "approved": true, "n": 3 })), ("items", json!([1, 2]))]
        .into_iter()
        .collect()
}

#[test]
fn text_is_written_as_it_is_and_anything_else_as_json() {
    let text = Templates::new().render("{{topic}}: {{feedback}} {{items}} {{none}} {{true}}", &scope());
    assert_eq!(text.unwrap(), r#"tea: {"approved":true,"n":3} [1,2] null true"#);
}

#[test]
fn a_string_of_one_expression_keeps_its_type() {
    let templates = Templates::new();
    assert_eq!(templates.render_deep(&json!("{{ feedback.n }}"), &scope()).unwrap(), json!(3));
    assert_eq!(templates.render_deep(&json!("{{ feedback.n }} "), &scope()).unwrap(), json!("3 "));
    assert_eq!(templates.render_deep(&json!("{{ topic }}{{ topic }}"), &scope()).unwrap(), json!("teatea"));
    assert_eq!(templates.render_deep(&json!("{{- feedback.n -}}"), &scope()).unwrap(), json!("3"));
}

#[test]
fn templates_are_found_at_any_depth_and_keys_are_left_alone() {
    let params = json!({ "{{topic}}": [{ "n": "{{ feedback.n + 1 }}" }, 7, null] });
    assert_eq!(Templates::new().render_deep(&params, &scope()).unwrap(), json!({ "{{topic}}": [{ "n": 4 }, 7, null] }));
}

#[test]
fn a_missing_root_variable_is_an_error_with_its_name() {
    let error = Templates::new().render("{{ nope.deep }}", &scope()).unwrap_err();
    assert_eq!(error.code, "expr.unknown_variable");
    assert!(error.message.contains("`nope`"), "{}", error.message);
}

#[test]
fn a_missing_attribute_is_undefined_and_false_in_a_condition() {
    let templates = Templates::new();
    assert!(!templates.holds("feedback.nope", &scope()).unwrap());
    assert!(!templates.holds("feedback.nope.deeper", &scope()).unwrap());
    assert!(!templates.holds("topic.approved", &scope()).unwrap());
    assert!(templates.holds("feedback.approved and feedback.n > 2", &scope()).unwrap());
    assert_eq!(templates.evaluate("feedback.nope | default(5)", &scope()).unwrap(), json!(5));
}

#[test]
fn functions_of_the_language_are_not_variables() {
    assert_eq!(Templates::new().evaluate("range(3) | list", &scope()).unwrap(), json!([0, 1, 2]));
    assert_eq!(Templates::new().check_expression("range(n)").unwrap(), HashSet::from(["n".to_owned()]));
}

#[test]
fn an_endless_template_runs_out_of_fuel() {
    let source = "{% for a in range(99999) %}{% for b in range(99999) %}{{ a }}{% endfor %}{% endfor %}";
    assert_eq!(Templates::new().render(source, &scope()).unwrap_err().code, "expr.limit");
}

#[test]
fn a_template_cannot_write_without_end() {
    let long: Scope = [("long", json!("x".repeat(900_000)))].into_iter().collect();
    assert_eq!(Templates::new().render("{{long}}{{long}}", &long).unwrap_err().code, "expr.limit");
}

#[test]
fn a_template_that_does_not_parse_says_why() {
    assert!(Templates::new().check_template("{{ topic ").is_err());
    assert!(Templates::new().check_template("{% if %}").is_err());
    assert!(Templates::new().check_expression("a +").is_err());
    assert!(Templates::new().check_template("{% include 'x' %}").is_err());
}

#[test]
fn a_template_names_the_roots_it_reads() {
    let names = Templates::new().check_template("{{ a.b }} {% for x in c %}{{ x }}{% endfor %}").unwrap();
    assert_eq!(names, HashSet::from(["a".to_owned(), "c".to_owned()]));
}

/// Does `work` on a thread with as little stack as those of the server have.
fn on_a_small_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        std::thread::Builder::new().stack_size(2 << 20).spawn_scoped(scope, work).unwrap().join().unwrap()
    })
}

/// As much of a source as its bound lets through: `start`, `link` again and again, `end`.
fn longest(start: &str, link: &str, end: &str, is_allowed: impl Fn(&str) -> bool) -> String {
    let with = |links: usize| format!("{start}{}{end}", link.repeat(links));
    let too_many = (1..=TEMPLATE_TOKENS_MAX + 1).collect::<Vec<_>>().partition_point(|links| is_allowed(&with(*links)));
    with(too_many)
}

fn counts(source: &str) -> bool {
    within_bounds(source, Source::Template, || ()).is_ok()
}

#[test]
fn no_chain_is_long_enough_to_use_up_the_stack() {
    on_a_small_stack(|| {
        let templates = Templates::new();
        for (start, link, end) in [
            ("{{ topic", ".a", " }}"),
            ("{{ 1", "+1", " }}"),
            ("{{ topic", "~topic", " }}"),
            ("{{ 1", "**n", " }}"),
            ("{{ n", " and n", " }}"),
            ("{{ n", " or n", " }}"),
            ("{{ n", " < n", " }}"),
            ("{{ topic", "|e", " }}"),
            ("{{ topic", "()", " }}"),
            ("{{ topic", "[0]", " }}"),
            ("{{ items", "[:]", " }}"),
            ("{{ n", " is odd", " }}"),
            ("{{ n", " if n else n", " }}"),
            ("{{ ", "not ", "n }}"),
            ("{{ ", "-", "n }}"),
            ("{{ ", "(", ""),
            ("{{ ", "[", ""),
            ("{{ ", "{1:", ""),
            ("{% if n %}", "{% elif n %}", "{% endif %}"),
            ("", "{% if n %}", ""),
            ("", "{% for n in items %}", ""),
            ("{% filter e", "|e", " %}a{% endfilter %}"),
            ("{% set a = items %}", "{% set a = a|reverse|items %}", "{{ a }}"),
            ("{% set a = items %}", "{% set a = a + a[:1] %}", "{{ a }}{{ a == a }}"),
        ] {
            let source = longest(start, link, end, counts);
            let beyond = source.replacen(link, &link.repeat(4), 1);
            assert!(templates.check_template(&beyond).unwrap_err().contains("2000"), "{link}");
            drop(templates.check_template(&source));
            drop(templates.render(&source, &scope()));
            drop(templates.render_deep(&json!(source), &scope()));
        }
    });
}

#[test]
fn no_value_is_deep_enough_to_use_up_the_stack() {
    // The deepest way to build one: a loop that calls itself with a deeper value, as often as it may.
    let built = |open: &str, close: &str, then: &str| {
        let link = format!("{{% set a = {}a{} %}}", open.repeat(60), close.repeat(60));
        let end = format!("{then}{{% if loop.depth < 8 %}}{{{{ loop([a]) }}}}{{% endif %}}{{% endfor %}}");
        longest("{% for a in [items] recursive %}", &link, &end, counts)
    };
    on_a_small_stack(|| {
        let templates = Templates::new();
        for (open, close) in
            [("[", "]"), ("{1:", "}"), ("dict(a=", ")"), ("", "|batch(1)"), ("", "+a[:1]"), ("", "[::-1]")]
        {
            for then in ["", "{{ a }}", "{{ a|string }}", "{{ a == [a] }}", "{{ [a, [a]]|sort }}", "{{ {a: a}[a] }}"] {
                templates.render(&built(open, close, then), &scope()).unwrap();
            }
            let error = templates.render(&built(open, close, "{{ a|tojson(indent=2) }}"), &scope()).err();
            assert!(error.is_none_or(|error| error.code == "expr.limit"));
        }
    });
}

#[test]
fn nothing_in_the_language_puts_a_value_inside_itself() {
    let source = "{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}";
    assert_eq!(Templates::new().render(source, &scope()).unwrap_err().code, "expr.unknown_variable");
    for source in ["{{ pprint }}", "{{ debug() }}"] {
        assert_eq!(Templates::new().render(source, &scope()).unwrap_err().code, "expr.unknown_variable");
    }
    assert!(Templates::new().check_template("{% macro m(a) %}{{ m([a]) }}{% endmacro %}").is_err());
}

#[test]
fn prose_may_be_long_while_code_may_not() {
    let templates = Templates::new();
    assert!(templates.check_template(&"words, {not} code. ".repeat(10_000)).is_ok());
    assert!(templates.check_template(&"{# words #}{% raw %}{{ words{% endraw %}".repeat(300)).is_ok());
    assert!(templates.check_template(&"a".repeat(TEMPLATE_SOURCE_BYTES_MAX + 1)).is_err());
    let long = format!("1{}", "+1".repeat(TEMPLATE_TOKENS_MAX));
    assert!(templates.check_expression(&long).is_err());
    assert_eq!(templates.evaluate(&long, &scope()).unwrap_err().code, "expr.limit");
    assert_eq!(templates.render(&format!("{{{{ {long} }}}}"), &scope()).unwrap_err().code, "expr.limit");
}

#[test]
fn an_expressions_value_is_bounded_in_depth_and_length() {
    let templates = Templates::new();
    let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    assert!(templates.evaluate(&nested(64), &scope()).is_ok());
    assert_eq!(templates.evaluate(&nested(65), &scope()).unwrap_err().code, "expr.limit");
    let params = json!({ "a": { "b": format!("{{{{ {} }}}}", nested(63)) } });
    assert_eq!(templates.render_deep(&params, &scope()).unwrap_err().code, "expr.limit");
    let laughs = "[[[[[1]*1000]*1000]*1000]*1000]";
    assert_eq!(templates.evaluate(laughs, &scope()).unwrap_err().code, "expr.limit");
    for written in ["", "|tojson", "|tojson(indent=9)"] {
        let source = format!("{{{{ {laughs}{written} }}}}.");
        assert_eq!(templates.render(&source, &scope()).unwrap_err().code, "expr.limit");
    }
    assert_eq!(templates.render("{{ [1]|tojson(2) }}", &scope()).unwrap(), "[\n  1\n]");
}

#[test]
fn all_strings_of_one_value_share_one_bound() {
    let long: Scope = [("long", json!("x".repeat(400_000)))].into_iter().collect();
    let templates = Templates::new();
    assert!(templates.render_deep(&json!(["{{long}}", "a {{long}}"]), &long).is_ok());
    let error = templates.render_deep(&json!(["{{long}}", "a {{long}}", { "b": "{{long}}" }]), &long).unwrap_err();
    assert_eq!(error.code, "expr.limit");
}
