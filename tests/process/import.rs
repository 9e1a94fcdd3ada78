//! `pointsman import`: what other proxies' users have becomes a configuration that serves.

use harness::{KEY, Mock, Process, Reply, chat_request};
use http::Method;
use tempfile::TempDir;

use super::{run, write};

#[tokio::test]
async fn a_litellm_file_is_imported_and_serves_groups_aliases_patterns_and_fallbacks() {
    let (a, b) =
        (Mock::start("first", Reply::chat("from a")).await, Mock::start("second", Reply::chat("from b")).await);
    let folder = TempDir::new().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    let text = format!(
        "model_list:\n\
         - {{model_name: gpt-4o, litellm_params: {{model: openai/large, api_base: '{0}', api_key: os.environ/KEY_A}}}}\n\
         - {{model_name: claude, litellm_params: {{model: openai/clever, api_base: '{1}', api_key: os.environ/KEY_B}}}}\n\
         - {{model_name: 'b/*', litellm_params: {{model: 'openai/*', api_base: '{1}', api_key: os.environ/KEY_B}}}}\n\
         router_settings: {{model_group_alias: {{gpt-4: gpt-4o}}, num_retries: 0, fallbacks: [{{gpt-4o: [claude]}}]}}\n\
         general_settings: {{master_key: os.environ/MASTER}}\n",
        a.base_url(),
        b.base_url()
    );
    write(folder.path().join("config.yaml").as_path(), &text);
    let arguments = ["import", "litellm", &path("config.yaml"), "--output", &path("proxy_config.yaml")];
    let (code, stdout, stderr) = run(Process::command(&arguments));
    assert_eq!((code, stdout.as_str()), (Some(0), ""), "{stderr}");
    assert!(stderr.contains("variables that the server needs: KEY_A, KEY_B, MASTER"), "{stderr}");

    let made = std::fs::read_to_string(path("proxy_config.yaml")).expect("it was written");
    assert!(made.contains("port: 9090"), "{made}");
    write(folder.path().join("proxy_config.yaml").as_path(), &made.replace("port: 9090", "port: 0"));

    let mut serve = Process::command(&["serve", "--config", &path("proxy_config.yaml"), "--port", "0"]);
    serve.env("KEY_A", KEY).env("KEY_B", KEY).env("MASTER", "sk-master");
    let process = Process::start(serve);
    let ask = async |model: &str| {
        let mut body = chat_request();
        body["model"] = model.into();
        let call = process.call(Method::POST, "/v1/chat/completions").await.json(&body);
        call.header("authorization", "Bearer sk-master").answer().await.content()
    };
    assert_eq!(ask("gpt-4o").await, "from a");
    assert_eq!(ask("gpt-4").await, "from a", "an alias");
    assert_eq!(ask("b/anything").await, "from b", "a pattern");
    let models = |mock: &Mock| mock.requests().iter().map(|seen| seen.json()["model"].clone()).collect::<Vec<_>>();
    assert_eq!((models(&a), models(&b)), (vec!["large".into(), "large".into()], vec!["anything".into()]));

    a.follow(Reply::error(500, "down"));
    assert_eq!(ask("gpt-4").await, "from b", "a fallback");
    assert_eq!(models(&b).last(), Some(&"clever".into()));
}
