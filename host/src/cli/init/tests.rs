use std::fs;
use std::io::Cursor;

use super::*;
use crate::config::parse;

type Nobody = Option<(Cursor<&'static [u8]>, Vec<u8>)>;

fn flags(folder: &Path, provider: &[&str]) -> Init {
    Init {
        provider: provider.iter().map(|name| (*name).to_owned()).collect(),
        base_url: None,
        key_variable: None,
        model: None,
        output: folder.join("proxy_config.yaml"),
        schema: false,
        force: false,
        yes: true,
    }
}

fn written(init: &Init) -> String {
    fs::read_to_string(&init.output).unwrap()
}

#[test]
fn every_provider_to_begin_with_makes_a_file_without_a_warning() {
    let names: Vec<&str> = STARTERS.iter().map(|starter| starter.name).collect();
    let one_by_one = names.iter().map(|name| vec![*name]);
    let known: Vec<&str> =
        STARTERS.iter().filter(|starter| starter.base_url.is_some()).map(|starter| starter.name).collect();
    for chosen in one_by_one.chain([known]) {
        let folder = tempfile::tempdir().unwrap();
        let mut init = flags(folder.path(), &chosen);
        if starters::named(chosen[0]).unwrap().base_url.is_none() {
            init.base_url = Some(starters::named(chosen[0]).unwrap().such_as.replace("NAME", "name"));
        }
        let said = begin(&init, &|_| false, Nobody::None).unwrap();
        assert!(said.contains("pointsman check") && said.contains("pointsman serve"), "{said}");
        let text = written(&init);
        let env = |name: &str| name.ends_with("_API_KEY").then(|| "sk-value".to_owned());
        let config = parse(&text, &init.output, &env, crate::strategy::builtins()).unwrap();
        let names: Vec<&str> = config.providers.iter().map(|provider| provider.name.as_str()).collect();
        assert_eq!(names, chosen);
        assert_eq!(config.warnings, [""; 0], "{chosen:?}");
        // A model that is suggested is one that the file lets through to its provider.
        for (name, provider) in chosen.iter().zip(&config.providers) {
            assert!(provider.serves(starters::named(name).unwrap().model), "{name}");
        }
    }
}

#[test]
fn keys_that_are_set_choose_the_providers_and_no_value_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let init = flags(folder.path(), &[]);
    let said = begin(&init, &|name| ["ANTHROPIC_API_KEY", "GROQ_API_KEY"].contains(&name), Nobody::None).unwrap();
    let text = written(&init);
    assert!(text.contains("${ANTHROPIC_API_KEY}") && text.contains("${GROQ_API_KEY}"), "{text}");
    assert!(text.contains("models: [\"claude-*\"]"), "{text}");
    assert!(!said.contains("export"), "{said}");
    let none = begin(&Init { force: true, ..flags(folder.path(), &[]) }, &|_| false, Nobody::None).unwrap_err();
    assert!(none.contains("--provider openai") && none.contains("OPENAI_API_KEY"), "{none}");
}

#[test]
fn a_file_that_exists_is_left_alone_unless_forced() {
    let folder = tempfile::tempdir().unwrap();
    let mut init = flags(folder.path(), &["openai"]);
    fs::write(&init.output, "precious").unwrap();
    let refused = begin(&init, &|_| true, Nobody::None).unwrap_err();
    assert!(refused.contains("--force") && written(&init) == "precious", "{refused}");
    init.force = true;
    begin(&init, &|_| true, Nobody::None).unwrap();
    assert!(written(&init).contains("api.openai.com"));
}

#[test]
fn what_flags_cannot_mean_is_told_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let with = |change: &dyn Fn(&mut Init), provider: &[&str]| {
        let mut init = flags(folder.path(), provider);
        change(&mut init);
        let problem = begin(&init, &|_| false, Nobody::None).unwrap_err();
        assert!(!init.output.exists());
        problem
    };
    assert!(with(&|_| {}, &["opnai"]).contains("did you mean openai?"));
    assert!(with(&|_| {}, &["azure"]).contains("--base-url, such as https://NAME.openai.azure.com"));
    assert!(with(&|init| init.base_url = Some("ftp://a".into()), &["other"]).contains("http:// or https://"));
    let key = |init: &mut Init| init.key_variable = Some("sk-proj-never".into());
    assert!(with(&key, &["openai"]).contains("is no name of a variable"));
    let url = |init: &mut Init| init.base_url = Some("http://a/v1".into());
    assert!(with(&url, &["openai", "groq"]).contains("are for one provider"));
}

#[test]
fn on_a_terminal_three_questions_are_asked_and_an_empty_line_takes_the_usual_answer() {
    let folder = tempfile::tempdir().unwrap();
    let answers = |lines: &'static str| {
        let init = Init { yes: false, force: true, schema: true, ..flags(folder.path(), &[]) };
        let mut asked = Vec::new();
        let said = begin(&init, &|name| name == "MISTRAL_API_KEY", Some((Cursor::new(lines), &mut asked)));
        (said, written(&init), String::from_utf8(asked).unwrap())
    };
    let (said, text, asked) = answers("\n\n\n");
    assert!(text.contains("api.mistral.ai") && text.contains("${MISTRAL_API_KEY}"), "{text}");
    assert!(text.starts_with("# yaml-language-server: $schema=pointsman.schema.json\n"), "{text}");
    assert!(folder.path().join("pointsman.schema.json").is_file());
    assert_eq!(asked.matches("]: ").count(), 3, "{asked}");
    assert!(said.unwrap().contains("mistral-small-latest"));
    let (said, text, _) = answers("nobody\nvllm\n\nhttp://gpu:8000/v1\nqwen\n");
    assert!(text.contains("http://gpu:8000/v1") && text.contains("api_key: none"), "{text}");
    assert!(said.unwrap().contains("qwen"));
    assert!(answers("openai\n").0.unwrap_err().contains("nothing was written"));
}
