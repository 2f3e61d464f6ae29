use serde_json::{Value, json};

use super::*;
use crate::template::{Scope, Templates};

fn rendered(source: &str, library: &Library) -> String {
    let expanded = expand(source, None, library).unwrap();
    let scope: Scope = [("name", json!("Ada")), ("yes", json!(true))].into_iter().collect();
    Templates::new().render(&expanded.source, &scope).unwrap()
}

#[test]
fn an_include_is_replaced_by_the_other_template_s_text() {
    let library =
        library(&[("greeting", "Hello {{ name }}!\n"), ("both", "{% include 'greeting' %} {%include \"greeting\"%}")]);
    assert_eq!(rendered("{% include \"greeting\" %}", &library), "Hello Ada!");
    assert_eq!(rendered("<{% include \"both\" %}>", &library), "<Hello Ada! Hello Ada!>");
    assert_eq!(rendered("{% if yes %}{% include \"greeting\" %}{% endif %}", &library), "Hello Ada!");
}

#[test]
fn a_pinned_include_stays_on_its_version() {
    let mut library = library(&[("tone", "new")]);
    library.add(Reference { name: "tone".into(), version: Some(2) }, part("tone", 2, "old", &[]));
    assert_eq!(rendered("{% include \"tone\" %} {% include \"tone@2\" %}", &library), "new old");
    let expanded =
        expand("{% include \"tone\" %}{% include \"tone@2\" %}{% include \"tone\" %}", None, &library).unwrap();
    assert_eq!(expanded.parts.iter().map(|part| part.version).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn blanks_are_trimmed_around_an_include_and_never_inside_it() {
    let library = library(&[("padded", "  a  ")]);
    assert_eq!(rendered("x  {% include \"padded\" %}  y", &library), "x    a    y");
    assert_eq!(rendered("x  {%- include \"padded\" -%}  y", &library), "x  a  y");
    assert_eq!(rendered("{{ name -}} {% include \"padded\" %} {{- name }}", &library), "Ada  a  Ada");
}

#[test]
fn what_only_looks_like_an_include_is_text() {
    let empty = Library::default();
    for text in ["please include \"x\"", "{# {% include \"x\" %} #}", "{% raw %}{% include \"x\" %}{% endraw %}"] {
        assert_eq!(expand(text, None, &empty).unwrap().source, text);
        assert_eq!(references(text), Ok(vec![]));
    }
}

#[test]
fn a_template_that_is_inside_itself_is_refused_by_its_way_there() {
    let library = library(&[("a", "{% include \"b\" %}"), ("b", "{% include \"c\" %}"), ("c", "{% include \"a\" %}")]);
    let ring = |names: &[&str]| IncludeError::Cycle(names.iter().map(|name| format!("`{name}`")).collect());
    assert_eq!(expand("{% include \"a\" %}", Some("a"), &library).unwrap_err(), ring(&["a", "a"]));
    assert_eq!(expand("{% include \"b\" %}", Some("a"), &library).unwrap_err(), ring(&["a", "b", "c", "a"]));
    assert_eq!(expand("{% include \"b\" %}", Some("x"), &library).unwrap_err(), ring(&["b", "c", "a", "b"]));
    assert_eq!(expand("{% include \"a@1\" %}", Some("a"), &library).unwrap_err(), ring(&["a", "a"]));
}

#[test]
fn what_is_not_there_and_what_is_no_name_is_told_apart() {
    let empty = Library::default();
    let error = |source: &str| expand(source, None, &empty).unwrap_err();
    assert_eq!(error("{% include \"tone@3\" %}").to_string(), "there is no prompt template `tone@3` to include");
    for source in [
        "{% include tone %}",
        "{% include \"tone\" ignore missing %}",
        "{% include [\"a\", \"b\"] %}",
        "{% include \"\" %}",
        "{% include \"tone@\" %}",
        "{% include \"tone@0\" %}",
        "{% include \"tone@x\" %}",
        "{% include \"a\" ~ \"b\" %}",
        "{% include \"tone\" ",
        "{% include",
    ] {
        assert!(matches!(error(source), IncludeError::Malformed(_)), "{source}: {:?}", error(source));
    }
}

#[test]
fn depth_number_and_length_of_includes_are_bounded() {
    let mut deep = Library::default();
    for level in 0..=INCLUDE_DEPTH_MAX {
        let text = if level == 0 { "end".to_owned() } else { format!("{{% include \"l{}\" %}}", level - 1) };
        let name = format!("l{level}");
        deep.add(Reference { name: name.clone(), version: None }, part(&name, 1, &text, &[]));
    }
    let at = |level: usize| expand(&format!("{{% include \"l{level}\" %}}"), None, &deep);
    assert!(at(INCLUDE_DEPTH_MAX - 1).is_ok());
    assert!(matches!(at(INCLUDE_DEPTH_MAX), Err(IncludeError::Limit(_))));

    // Each level twice the one below: far fewer templates than includes.
    let twice = |name: &str| format!("{{% include \"{name}\" %}}{{% include \"{name}\" %}}");
    let names: Vec<String> = (0..8).map(|n| format!("d{n}")).collect();
    let mut doubling = library(&[("d0", "x")]);
    for pair in names.windows(2) {
        let reference = Reference { name: pair[1].clone(), version: None };
        doubling.add(reference, part(&pair[1], 1, &twice(&pair[0]), &[]));
    }
    assert!(matches!(expand(&twice("d7"), None, &doubling), Err(IncludeError::Limit(_))));

    let long = "x".repeat(100_000);
    let long = library(&[("long", &long)]);
    assert!(matches!(expand(&"{% include \"long\" %}".repeat(3), None, &long), Err(IncludeError::Limit(_))));
}

#[test]
fn includes_bring_their_variables_and_the_outermost_declaration_counts() {
    let text = |name: &str| Variable::required_text(name);
    let number = Variable { kind: VariableType::Number, ..text("n") };
    let parts = [part("a", 1, "", &[text("n"), text("m")]), part("b", 1, "", &[text("m"), text("o")])];
    let all = variables_of(std::slice::from_ref(&number), &parts.iter().collect::<Vec<_>>());
    assert_eq!(all, [number, text("m"), text("o")]);
}

#[test]
fn every_fault_of_a_template_comes_at_once() {
    let templates = Templates::new();
    let mut library = Library::default();
    library.add(
        Reference { name: "tone".into(), version: None },
        part("tone", 1, "{{ tone }}", &[Variable::required_text("tone")]),
    );
    let check =
        |source: &str, variables: Option<Value>| check_template(&templates, "me", source, variables.as_ref(), &library);
    let codes = |source: &str, variables: Option<Value>| -> Vec<(String, String)> {
        let faults = check(source, variables).unwrap_err();
        faults.into_iter().map(|fault| (fault.pointer, fault.code)).collect()
    };
    let fault = |place: &str, code: &str| (place.to_owned(), code.to_owned());

    let good = check("{% include \"tone\" %} {{ b }} {{ a }}", None).unwrap();
    assert_eq!(good.variables, [Variable::required_text("a"), Variable::required_text("b")], "what it reads itself");
    assert_eq!(good.includes, [Reference { name: "tone".into(), version: None }]);
    assert!(check("{% include \"tone\" %}", Some(json!([]))).unwrap().variables.is_empty());

    assert_eq!(codes("{{ a }} {{ b }}", Some(json!(["a"]))), [fault("/template", "prompt.undeclared_variable")]);
    assert_eq!(codes("{% include \"me\" %}", None), [fault("/template", "prompt.include_cycle")]);
    assert_eq!(codes("{% include \"you\" %}", None), [fault("/template", "prompt.include_unknown")]);
    assert_eq!(
        codes("{{ a ", Some(json!(["a", "a", "1", 7]))),
        [
            fault("/variables/1", "prompt.duplicate_variable"),
            fault("/variables/2", "prompt.variable_name"),
            fault("/variables/3", "prompt.value"),
            fault("/template", "prompt.template"),
        ]
    );
}

#[test]
fn a_name_can_stand_in_an_include() {
    for good in ["code-review", "Code Review (long)", "ä/b", &"x".repeat(100)] {
        assert_eq!(name_fault(good), None, "{good}");
    }
    for bad in ["", " a", "a@1", "a\"b", "a'b", "a\\b", "a\nb", &"x".repeat(101)] {
        assert!(name_fault(bad).is_some(), "{bad}");
    }
}
