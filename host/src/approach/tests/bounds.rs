//! What a guest may use, and that its end is not the end of anything else.

use tokio::time::{Instant, sleep, timeout};

use super::*;

fn fault(ended: Ended) -> (FaultKind, String) {
    match ended {
        Ended::Fault(Fault { kind, message }) => (kind, message),
        other => panic!("no fault: {other:?}"),
    }
}

#[tokio::test]
async fn each_way_to_break_ends_the_run_and_not_the_process() {
    let (kind, message) = fault(ended(request("panic", 1)).await);
    assert_eq!(kind, FaultKind::Trapped);
    assert!(message.starts_with("trapped: ") && message.contains("as commanded"), "{message}");
    let (kind, message) = fault(ended(request("exit", 1)).await);
    assert_eq!(kind, FaultKind::Trapped);
    assert!(message.contains("exit"), "{message}");
    let (kind, message) = fault(ended(request("overflow", 1)).await);
    assert_eq!(kind, FaultKind::Trapped);
    assert!(message.contains("stack exhausted"), "{message}");
    assert_eq!(fault(ended(request("eat", 1)).await).0, FaultKind::OutOfMemory);
    assert_eq!(text(request("text", 1)).await, "a text");
}

#[tokio::test]
async fn processor_time_is_limited() {
    let setting = Setting { cpu: Duration::from_millis(200), ..Setting::named("spinning") };
    let ended = Driver::default().drive(begin_with(request("spin", 1), setting)).await;
    let expected = (FaultKind::OutOfTime, "used more than 0.2 s of processor time".to_owned());
    assert_eq!(fault(ended), expected);
}

#[tokio::test(start_paused = true)]
async fn waiting_is_no_processor_time() {
    let setting = Setting { cpu: Duration::from_millis(200), ..Setting::named("sleeping") };
    let ended = Driver::default().drive(begin_with(request("sleep", 600_000), setting)).await;
    assert!(matches!(ended, Ended::Finals(_)), "{ended:?}");
}

#[tokio::test]
async fn memory_is_limited_as_it_is_set() {
    let setting = Setting { memory: 1 << 20, ..Setting::named("small") };
    let ended = Driver::default().drive(begin_with(request("text", 1), setting)).await;
    assert_eq!(fault(ended).0, FaultKind::OutOfMemory, "its data alone are more than a mebibyte");
    let setting = Setting { memory: 4 << 20, ..Setting::named("small") };
    let ended = Driver::default().drive(begin_with(request("text", 1), setting)).await;
    assert!(matches!(ended, Ended::Finals(_)), "{ended:?}");
}

#[tokio::test]
async fn answers_and_conversations_are_bounded() {
    let (kind, message) = fault(ended(request("large", 33)).await);
    assert_eq!(kind, FaultKind::Illegal, "{message}");
    assert_eq!(text(request("large", 8)).await.len(), 8 << 20);
    // A long conversation is no fault of the approach.
    let message =
        |mebibytes: usize| Message { text: "x".repeat(mebibytes << 20), ..request("text", 1).messages.remove(0) };
    let long = Request { messages: vec![message(4), message(5)], ..request("text", 1) };
    assert!(matches!(ended(long).await, Ended::Problem(Problem::Unsuitable(_))));
    let long = Request { messages: vec![message(4), message(4)], ..request("text", 1) };
    assert_eq!(text(long).await, "a text");
}

#[tokio::test]
async fn notes_of_progress_do_not_pile_up() {
    let Session { mut wants, mut run } = begin(request("notes", 20_000));
    assert!(timeout(Duration::from_millis(50), &mut run).await.is_err(), "it waits for somebody to read them");
    assert_eq!(wants.len(), 8);
    let mut notes = 0;
    let mut most = 0;
    let ended = loop {
        tokio::select! {
            Some(want) = wants.recv() => {
                let Want::Progress(note) = want else { panic!("no note") };
                assert!(note.len() <= 200, "{note}");
                (notes, most) = (notes + 1, most.max(wants.len()));
            }
            ended = &mut run => break ended,
        }
    };
    assert_eq!(ended, Ended::Finals(vec![Final::Text("noted".to_owned())]));
    assert!((20_000 - 8..=20_000).contains(&notes) && most <= 8, "{notes} notes, {most} at once");
}

#[tokio::test]
async fn a_flood_of_lines_is_cut_to_ten_a_second() {
    #[derive(Clone, Default)]
    struct Written(Arc<parking_lot::Mutex<Vec<u8>>>);
    impl std::io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let written = Written::default();
    let writer = written.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let approach = Approach::load(&Source::new("printer", &component("asker"))).expect("loads");
    let began = Instant::now();
    let session = approach.start(request("print", 1024), Arc::new(Table), Setting::named("run 7"));
    assert_eq!(Driver::default().drive(session).await, Ended::Finals(vec![Final::Text("printed".to_owned())]));
    let seconds = 1 + usize::try_from(began.elapsed().as_secs()).unwrap();
    let log = String::from_utf8(written.0.lock().clone()).unwrap();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("run 7")).collect();
    assert!((10..=11 * seconds).contains(&lines.len()), "{} lines", lines.len());
    assert!(lines.iter().all(|line| line.len() < 1200), "lines are cut");
    for expected in ["lines of approach printer were dropped", "out 0000", "err 0000", "log 0000"] {
        assert!(log.contains(expected), "{expected}: {log}");
    }
}

/// Tokio looks at timers each time that nothing is ready or after 61 polls; a guest that yields by waking itself at once
/// delays a timer by 61 ticks of 5 ms.
#[test]
fn a_guest_that_computes_does_not_delay_a_timer_beside_it() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let asker = asker();
    let delays = runtime.block_on(async move {
        let mut tasks = tokio::task::JoinSet::new();
        let setting = Setting { cpu: Duration::from_secs(1), ..Setting::named("computing") };
        let session = asker.start(request("spin", 1), Arc::new(Table), setting);
        tasks.spawn(async move { Driver::default().drive(session).await });
        let mut delays = Vec::new();
        while tasks.try_join_next().is_none() {
            let began = Instant::now();
            sleep(Duration::from_millis(1)).await;
            delays.push(began.elapsed());
        }
        delays
    });
    let mut sorted = delays;
    sorted.sort();
    // The median, because the machine may be busy otherwise; without turns of its own every timer would be late.
    let median = sorted[sorted.len() / 2];
    assert!(sorted.len() > 15 && median < Duration::from_millis(60), "{} timers, median {median:?}", sorted.len());
}

#[tokio::test]
async fn a_session_that_is_dropped_while_it_waits_leaves_nothing() {
    let desk: Arc<dyn Desk> = Arc::new(Table);
    let Session { mut wants, mut run } =
        asker().start(request("chat", 1), Arc::clone(&desk), Setting::named("dropped"));
    let want = tokio::select! {
        want = wants.recv() => want,
        ended = &mut run => panic!("ended: {ended:?}"),
    };
    let Some(Want::Chat(_, sender)) = want else { panic!("no call") };
    assert_eq!(Arc::strong_count(&desk), 2);
    drop(run);
    assert_eq!(Arc::strong_count(&desk), 1, "the instance is gone");
    assert!(sender.is_closed() && wants.recv().await.is_none());
}

#[tokio::test]
async fn a_thousand_wait_at_once() {
    let desk: Arc<dyn Desk> = Arc::new(Table);
    let asker = asker();
    let mut waiting = Vec::new();
    for index in 0..1_000 {
        let setting = Setting::named(index.to_string());
        let mut session = asker.start(request("chat", 1), Arc::clone(&desk), setting);
        let want = tokio::select! {
            want = session.wants.recv() => want.expect("a call"),
            ended = &mut session.run => panic!("ended: {ended:?}"),
        };
        waiting.push((session, want));
    }
    assert_eq!(Arc::strong_count(&desk), 1_001);
    // Every other one is dropped, and the rest is answered.
    let mut answered = 0;
    for (index, (session, want)) in waiting.into_iter().enumerate() {
        let Want::Chat(call, sender) = want else { panic!("no call") };
        if index % 2 == 0 {
            continue;
        }
        sender.send(said(3, &call)).unwrap();
        assert_eq!(session.run.await, Ended::Finals(vec![Final::Choice(3)]));
        answered += 1;
    }
    assert_eq!((answered, Arc::strong_count(&desk)), (500, 1));
}

/// `cargo test --release -p pointsman approach_costs -- --ignored --nocapture`
#[tokio::test]
#[ignore = "prints figures"]
async fn approach_costs() {
    use crate::wasm::overtime::processor_time;
    let asker = asker();
    let cost = async |deed: &str, times: u32, runs: u32| {
        let began = processor_time().unwrap();
        for _ in 0..runs {
            let session = asker.start(request(deed, times), Arc::new(Table), Setting::named("a run"));
            Driver::default().drive(session).await;
        }
        (processor_time().unwrap() - began) / runs
    };
    cost("text", 1, 100).await;
    let empty = cost("text", 1, 1_000).await;
    println!("an empty run: {empty:?}");
    let calls = cost("chat", 1_000, 20).await;
    println!("a call: {:?}", calls.saturating_sub(empty) / 1_000);
    let batch = cost("many", 100, 100).await;
    println!("a call of a batch of 100: {:?}", batch.saturating_sub(empty) / 100);
}
