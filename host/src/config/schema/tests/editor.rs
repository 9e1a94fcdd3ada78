//! Files as an editor sees them, which knows nothing but the schema.

use super::*;
use crate::config::node::{Meaning, Node, NodeKind};
use crate::config::problem::Findings;
use crate::config::yaml;

const BUILTINS: [&str; 3] = ["failover", "round_robin", "weighted"];

/// A value as an editor has it, without what references stand for.
fn plain(node: &Node) -> Value {
    match &node.kind {
        NodeKind::List(items) => Value::Array(items.iter().map(plain).collect()),
        NodeKind::Map(entries) => {
            Value::Object(entries.iter().map(|(key, node)| (key.text.clone(), plain(node))).collect::<Map<_, _>>())
        }
        NodeKind::Scalar(scalar) => match scalar.meaning() {
            Meaning::Null => Value::Null,
            Meaning::Bool(truth) => json!(truth),
            Meaning::Number => serde_json::from_str(&scalar.text).unwrap_or_else(|_| json!(scalar.text)),
            Meaning::Text => json!(scalar.text),
        },
    }
}

fn value(text: &str) -> Option<Value> {
    let mut findings = Findings::new(Path::new("x.yaml"));
    Some(yaml::read(text, &mut findings).ok()?.map_or(Value::Null, |node| plain(&node)))
}

/// Says what is wrong with a file by the schema; empty when it is right.
struct Editor(boon::Schemas, boon::SchemaIndex);

impl Editor {
    fn new() -> Self {
        let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
        compiler.add_resource("pointsman.schema.json", json_schema()).expect("a resource");
        let index = compiler.compile("pointsman.schema.json", &mut schemas).expect("a schema of the draft");
        Self(schemas, index)
    }

    fn complaint(&self, value: &Value) -> String {
        self.0.validate(value, self.1).err().map(|error| format!("{error:#}")).unwrap_or_default()
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut all: Vec<PathBuf> = all.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    all.sort();
    all
}

#[test]
fn what_is_right_is_right_to_an_editor_too() {
    let (editor, root) = (Editor::new(), root());
    let folders = ["host/config", "tests/config/valid"].map(|folder| files(&root.join(folder)));
    let all: Vec<PathBuf> = folders.into_iter().flatten().collect();
    assert!(all.len() > 15, "the files are gone");
    for file in all {
        let value = value(&fs::read_to_string(&file).expect("readable")).expect("YAML");
        assert_eq!(editor.complaint(&value), "", "{}", file.display());
    }
    for file in files(&root.join("tests/config/fragments")) {
        let mut value = value(&fs::read_to_string(&file).expect("readable")).expect("YAML");
        value["providers"] = json!([{"base_url": "http://a/v1", "api_key": "k"}]);
        assert_eq!(editor.complaint(&value), "", "{}", file.display());
    }
    // Scenarios hold configurations whose providers have no key.
    for file in files(&root.join("scenarios")) {
        let mut value = value(&fs::read_to_string(&file).expect("readable")).expect("YAML")["proxy"].take();
        for provider in value["providers"].as_array_mut().expect("providers") {
            provider["base_url"] = json!("http://a/v1");
            provider["api_key"] = json!("k");
        }
        assert_eq!(editor.complaint(&value), "", "{}", file.display());
    }
}

#[test]
fn the_examples_of_the_documentation_are_right_to_an_editor() {
    let (editor, root) = (Editor::new(), root());
    let docs = fs::read_dir(root.join("docs")).expect("docs").map(|entry| entry.expect("an entry").path());
    let docs = docs.filter(|path| path.extension().is_some_and(|end| end == "md"));
    let mut tried = 0;
    for file in docs.chain([root.join("README.md"), root.join("ARCHITECTURE.md"), root.join("strategies/README.md")]) {
        let text = fs::read_to_string(&file).expect("readable");
        for block in text.split("```yaml\n").skip(1) {
            let block = block.split("```").next().unwrap_or_default();
            let Some(mut value) = value(block) else { continue };
            let Some(keys) = value.as_object().map(|fields| fields.keys().cloned().collect::<Vec<_>>()) else {
                continue;
            };
            // Others are files of other programs, scenarios, or parts of a section.
            if !keys.iter().all(|key| TOP.has(key)) || value.get("providers").is_some_and(|all| !all.is_array()) {
                continue;
            }
            if value.get("providers").is_none() {
                value["providers"] = json!([{}]);
            }
            for provider in value["providers"].as_array_mut().expect("a list") {
                for (key, usual) in [("base_url", "http://a/v1"), ("api_key", "k")] {
                    if provider.get(key).is_none() {
                        provider[key] = json!(usual);
                    }
                }
            }
            tried += 1;
            assert_eq!(editor.complaint(&value), "", "{}:\n{block}", file.display());
        }
    }
    assert!(tried > 12, "only {tried} examples were found");
}

#[test]
fn keys_that_nobody_knows_and_values_of_another_type_are_wrong_to_an_editor_too() {
    let editor = Editor::new();
    let structural = |message: &str| {
        message == "is not a known key"
            || ["a list", "a mapping", "a text", "true or false"]
                .iter()
                .any(|kind| message.starts_with(&format!("must be {kind}, not ")))
    };
    let mut tried = 0;
    for file in files(&root().join("tests/config")) {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let Some(value) = value(&text) else { continue };
        let Err(LoadError { problems, .. }) = parse(&text, &file, &|_| None, &BUILTINS) else { continue };
        if problems.iter().any(|problem| structural(&problem.message)) {
            tried += 1;
            assert_ne!(editor.complaint(&value), "", "{}", file.display());
        }
    }
    assert!(tried > 10, "only {tried} files were of that sort");
}

#[test]
fn a_variable_may_stand_where_the_reader_takes_one() {
    let editor = Editor::new();
    let with = |key: &str, written: &str| {
        let mut value = json!({"providers": [{"base_url": "http://a/v1", "api_key": "k"}]});
        value["queue"] = json!({key: written});
        editor.complaint(&value)
    };
    for written in ["${A}", "${A:-20}", "${file:slots}", "${A:-${B:-2}}"] {
        assert_eq!(with("max_concurrent", written), "", "{written}");
    }
    for written in ["20", "${A", "1${A}", "${A} "] {
        assert_ne!(with("max_concurrent", written), "", "{written}");
    }
}
