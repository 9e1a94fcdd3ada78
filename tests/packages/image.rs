//! The container image: built from the shipped Containerfile by buildah, and run by bubblewrap as a runtime would run it, by what
//! the image says of itself, as a user without rights and with a root file system that cannot be written to. The program is the
//! one of this test run, which needs a C library; `packaging/pack root --libraries` puts that beside it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use harness::{Mock, Process, Reply, chat_request, eventually, workspace};
use http::Method;
use serde_json::Value;
use tempfile::TempDir;

use crate::{base_of, must, pack_into, the_client_is_content};

/// An image, unpacked, and what it says of how it is to be run.
struct Image {
    folder: TempDir,
    config: Value,
}

/// buildah, which keeps its images in this folder and needs neither a daemon nor a kernel's overlays.
fn buildah(folder: &Path) -> Command {
    let mut command = Command::new("buildah");
    command.arg("--root").arg(folder.join("storage")).arg("--runroot").arg(folder.join("run"));
    command.args(["--storage-driver", "vfs"]);
    command
}

impl Image {
    fn build() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let of = |name: &str| folder.path().join(name);
        let context = of("context");
        pack_into("root", &["--libraries"], &context.join("root-of-image"));
        std::fs::create_dir(of("nothing")).expect("writable");
        let mut build = buildah(folder.path());
        build.args(["build", "--isolation", "chroot", "--format", "docker", "--tag", "pointsman"]);
        build.arg("--file").arg(workspace().join("packaging/container/Containerfile"));
        build.arg(format!("--build-context=root={}", context.display()));
        build.arg(format!("--output=type=local,dest={}", of("root").display()));
        must(build.arg(of("nothing")));
        // Only its owner could look into what was unpacked.
        must(Command::new("chmod").arg("755").arg(of("root")));
        let inspected = must(buildah(folder.path()).args(["inspect", "--type", "image", "pointsman"]));
        let inspected: Value = serde_json::from_str(&inspected).expect("JSON");
        let config = inspected["Docker"]["config"].clone();
        Self { folder, config }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    fn words(&self, key: &str) -> Vec<String> {
        let list = self.config[key].as_array();
        assert!(list.is_some(), "the image has {key}: {}", self.config);
        list.into_iter().flatten().map(|word| word.as_str().expect("a text").to_owned()).collect()
    }

    /// `arguments` in a container of the image with `mounted` at its working directory, in the network of this machine.
    fn command(&self, mounted: &Path, arguments: &[&str]) -> Command {
        let user = self.config["User"].as_str().expect("a user");
        let (user, group) = user.split_once(':').expect("a user and a group, by number");
        let home = self.config["WorkingDir"].as_str().expect("a working directory");
        let mut command = Command::new("bwrap");
        command.arg("--ro-bind").arg(self.root()).args(["/", "--proc", "/proc", "--dev", "/dev"]);
        command.args(["--perms", "1777", "--tmpfs", "/cache", "--ro-bind"]).arg(mounted).arg(home);
        command.args(["--unshare-all", "--share-net", "--uid", user, "--gid", group, "--cap-drop", "ALL"]);
        command.args(["--die-with-parent", "--as-pid-1", "--chdir", home, "--clearenv"]);
        for variable in self.words("Env") {
            let (name, value) = variable.split_once('=').expect("a name and a value");
            command.args(["--setenv", name, value]);
        }
        command.arg("--").args(self.words("Entrypoint")).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// The process that runs as the first of the container, below the one that made it.
fn first_in(container: &Process) -> String {
    let children = |id: &str| {
        let listed = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        listed.split_whitespace().next().map(str::to_owned)
    };
    let mut id = container.id().to_string();
    while let Some(child) = children(&id) {
        id = child;
    }
    id
}

#[tokio::test]
async fn the_image_serves_without_rights_and_without_writing_to_its_root() {
    let image = tokio::task::spawn_blocking(Image::build).await.expect("no panic");
    assert_eq!(image.config["User"], "65532:65532");
    assert_eq!(image.words("Cmd"), ["serve", "--host", "0.0.0.0"]);

    let a = Mock::start("a", Reply::chat("Hello from a")).await;
    let folder = TempDir::new().expect("a temporary folder");
    // A port that the health check can find in the configuration has to be known beforehand.
    let port =
        std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|socket| socket.local_addr()).expect("a port").port();
    let configuration = format!(
        "providers: [{{name: a, base_url: 'http://{}/v1', api_key_file: key}}]\nserver: {{port: {port}}}\n",
        a.address()
    );
    std::fs::write(folder.path().join("proxy_config.yaml"), configuration).expect("writable");
    std::fs::write(folder.path().join("key"), "a-key-of-the-image").expect("writable");

    let arguments = image.words("Cmd");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut container = Process::start(image.command(folder.path(), &arguments));
    eventually("the container listens", async || container.stderr().contains("listening")).await;
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let call = harness::Call::to(address, Method::POST, "/v1/chat/completions").json(&chat_request());
    assert_eq!(call.answer().await.status, 200, "{}", container.stderr());

    // The health check that the image names, with the entrypoint left out as runtimes do.
    let test = image.config["Healthcheck"]["Test"].as_array().expect("a health check").clone();
    let test: Vec<&str> = test.iter().filter_map(Value::as_str).collect();
    assert_eq!(test[..2], ["CMD", "/usr/bin/pointsman"]);
    let healthy = must(&mut image.command(folder.path(), &test[2..]));
    assert!(healthy.contains("200"), "{healthy}");

    let first = first_in(&container);
    let status = std::fs::read_to_string(format!("/proc/{first}/status")).expect("it runs");
    for line in ["CapEff:\t0000000000000000", "NoNewPrivs:\t1"] {
        assert!(status.contains(line), "{line}: {status}");
    }
    // What the program compiles is kept, but it carries the code of all that it has built in.
    let kept =
        std::fs::read_dir(format!("/proc/{first}/root/cache/compiled")).expect("there is a place for what is compiled");
    assert_eq!(kept.count(), 0, "{}", container.stderr());
    let written = std::fs::write(format!("/proc/{first}/root/etc/written"), "");
    assert_eq!(written.expect_err("read only").kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    assert!(!container.stderr().contains("cache"), "{}", container.stderr());

    let signal = image.config["StopSignal"].as_str().expect("a signal").trim_start_matches("SIG").to_owned();
    must(Command::new("kill").arg(format!("-{signal}")).arg(&first));
    assert_eq!(container.exit_code().await, Some(0), "{}", container.stderr());
    assert!(container.stderr().contains("drained"), "{}", container.stderr());

    // And the demo, as `docker run --network host pointsman demo`.
    let demo = Process::start(image.command(folder.path(), &["demo", "--port", "0"]));
    let base = base_of(&demo).await;
    the_client_is_content(&base).await;
}

#[test]
fn an_image_without_a_c_library_takes_no_program_that_needs_one() {
    let mut pack = Command::new("python3");
    pack.arg(workspace().join("packaging/pack")).args(["root", "--binary"]).arg(crate::program());
    let folder = TempDir::new().expect("a temporary folder");
    let refused = pack.arg("--out").arg(folder.path().join("root")).output().expect("Python starts");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    let is_static = cfg!(target_env = "musl");
    assert!(refused.status.success() == is_static, "{said}");
    assert!(is_static || said.contains("-musl") && said.contains("--libraries"), "{said}");
}
