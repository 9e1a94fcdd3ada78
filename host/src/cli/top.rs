//! `pointsman top`: a running server in the terminal: providers, routes, strategies, clients, requests and why they went where
//! they went.
//!
//! It reads the paths that are open to every operator, so it needs only the server's address and the operators' key. One thread
//! asks the server, another one draws and reads the keyboard; `screen` is the state between them, and knows neither.

mod grid;
mod grids;
mod limits;
mod screen;
mod series;
mod source;
#[cfg(test)]
mod tests;
mod view;

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use clap::{Args, ValueEnum};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::key::{Server, Wrong};
use super::say;
use super::signals::Signals;
use crate::config::environment;
use screen::{Opened, Press, Screen, Tab, Wish};
use source::{Reading, Source};

/// The most requests of one provider or client that are listed.
const LISTED: usize = 500;
/// The longest wait for a key between two frames.
const GLANCE: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub(super) struct Top {
    /// Seconds between two readings.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = interval)]
    interval: Duration,
    /// Show this tab first.
    #[arg(long, value_name = "NAME", default_value = "providers")]
    tab: FirstTab,
    /// Print one frame as text and end.
    #[arg(long)]
    once: bool,
    /// Width of the frame that --once prints, in columns.
    #[arg(long, value_name = "COLUMNS", default_value = "160", requires = "once", value_parser = clap::value_parser!(u16).range(20..=1000))]
    width: u16,
    #[command(flatten)]
    server: Server,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FirstTab {
    Providers,
    Routes,
    Strategies,
    Clients,
    Limits,
    Requests,
    Events,
}

fn interval(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.1..=3600.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "must be a number of seconds from 0.1 to 3600".to_owned())
}

pub(super) fn run(top: &Top) -> ExitCode {
    let ended = Source::of(&top.server).and_then(|source| if top.once { once(top, source) } else { live(top, source) });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(wrong) => wrong.exit(),
    }
}

impl Top {
    fn screen(&self) -> Screen {
        let tab = Tab::ALL[self.tab as usize];
        Screen { tab, ..Screen::new() }
    }
}

/// Prints one frame that is high enough for all rows. It takes two readings, since a rate is the difference between two.
fn once(top: &Top, mut source: Source) -> Result<(), Wrong> {
    source.read()?;
    std::thread::sleep(top.interval);
    let screen = Screen { reading: Some(source.read()?), ..top.screen() };
    say(&text(&screen, top.width));
    Ok(())
}

/// The screen as text.
fn text(screen: &Screen, width: u16) -> String {
    let rows = screen.grid().map_or(1, |(grid, _)| grid.rows.len());
    let height = u16::try_from(rows).unwrap_or(u16::MAX).saturating_add(view::AROUND).clamp(view::AROUND, 1000);
    // Nothing that is drawn into memory can fail.
    let Ok(mut terminal) = Terminal::new(TestBackend::new(width, height));
    let Ok(_) = terminal.draw(|frame| view::draw(frame, screen, false));
    let buffer = terminal.backend().buffer();
    let line = |cells: &[ratatui::buffer::Cell]| cells.iter().map(|cell| cell.symbol()).collect::<String>();
    let mut lines: Vec<String> =
        buffer.content.chunks(usize::from(width)).map(|cells| line(cells).trim_end().to_owned()).collect();
    // The last one names the keys.
    lines.pop();
    lines.join("\n").trim_end().to_owned()
}

/// A message to the thread that asks the server.
enum Order {
    Wish(Wish),
    Pause(bool),
}

/// A message of the thread that asks the server.
enum News {
    Reading(Box<Reading>),
    Opened(Opened),
    Trouble(String),
}

/// The terminal, which is given back when this is dropped, also by a panic.
struct Borrowed;

impl Drop for Borrowed {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

fn live(top: &Top, mut source: Source) -> Result<(), Wrong> {
    let failed = |error: io::Error| Wrong::Failed(format!("pointsman top: {error}"));
    if !io::stdout().is_terminal() {
        return Err(Wrong::Usage("pointsman top: needs a terminal; --once prints one frame as text".to_owned()));
    }
    // A server that cannot be asked is told before the terminal is taken.
    let mut screen = Screen { reading: Some(source.read()?), ..top.screen() };
    let (order, orders) = sync_channel(16);
    let (tell, news) = sync_channel(4);
    let every = top.interval;
    let asking = std::thread::Builder::new().name("asking".to_owned());
    asking.spawn(move || ask(source, every, &orders, &tell)).map_err(failed)?;
    let is_over = signalled().map_err(failed)?;
    // This also has a panic give the terminal back.
    let mut terminal = ratatui::try_init().map_err(failed)?;
    let _borrowed = Borrowed;
    let has_colours = environment("NO_COLOR").is_none_or(|value| value.is_empty());
    while !is_over.load(Relaxed) {
        terminal.draw(|frame| view::draw(frame, &screen, has_colours)).map_err(failed)?;
        if event::poll(GLANCE).map_err(failed)?
            && let Event::Key(key) = event::read().map_err(failed)?
            && let Some(press) = meaning(key)
        {
            match screen.press(press) {
                Some(Wish::Quit) => return Ok(()),
                // A wish that comes while many others wait is forgotten.
                Some(wish) => drop(order.try_send(Order::Wish(wish))),
                None if press == Press::Pause => drop(order.try_send(Order::Pause(screen.is_paused))),
                None => {}
            }
        }
        news.try_iter().for_each(|news| hear(&mut screen, news));
    }
    Ok(())
}

/// Becomes true with SIGTERM or SIGINT. Ctrl-C is a key while the terminal is taken, but others may send them.
fn signalled() -> io::Result<Arc<AtomicBool>> {
    let is_over = Arc::new(AtomicBool::new(false));
    let tell = Arc::clone(&is_over);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let wait = move || {
        runtime.block_on(async {
            if let Ok(mut signals) = Signals::new() {
                signals.next().await;
                tell.store(true, Relaxed);
            }
        });
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(wait)?;
    Ok(is_over)
}

fn hear(screen: &mut Screen, news: News) {
    match news {
        News::Reading(reading) => {
            screen.reading = Some(*reading);
            screen.trouble = None;
        }
        News::Opened(opened) => screen.opened.push(opened),
        News::Trouble(trouble) => screen.trouble = Some(trouble),
    }
}

/// Reads the server again and again, and between two readings what a key has asked for. It ends when the thread that draws has ended.
fn ask(mut source: Source, every: Duration, orders: &Receiver<Order>, tell: &SyncSender<News>) {
    let mut is_paused = false;
    let trouble = |wrong: Wrong| News::Trouble(wrong.text());
    loop {
        let news = match orders.recv_timeout(every) {
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) if is_paused => continue,
            Err(RecvTimeoutError::Timeout) => {
                source.read().map_or_else(trouble, |reading| News::Reading(Box::new(reading)))
            }
            Ok(Order::Pause(pause)) => {
                is_paused = pause;
                continue;
            }
            Ok(Order::Wish(wish)) => match opened(&source, &wish) {
                Some(opened) => opened.map_or_else(trouble, News::Opened),
                None => continue,
            },
        };
        if tell.send(news).is_err() {
            return;
        }
    }
}

/// The list or the text that a wish opens.
fn opened(source: &Source, wish: &Wish) -> Option<Result<Opened, Wrong>> {
    match wish {
        Wish::Quit => None,
        Wish::Requests(property, value) => {
            let of = format!("{property} {value}");
            let listed = source.requests(Some((property, value)), LISTED);
            Some(listed.map(|records| Opened::Requests { of, records, selected: 0 }))
        }
        Wish::Why(id) => {
            let title = "why".to_owned();
            Some(source.why(id).map(|text| Opened::Text { title, text, from: 0 }))
        }
    }
}

/// The meaning of a key; `None` for a key without one.
fn meaning(key: KeyEvent) -> Option<Press> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return (key.code == KeyCode::Char('c')).then_some(Press::Quit);
    }
    Some(match key.code {
        KeyCode::Char(digit @ '1'..='9') => Press::Tab(usize::from(digit as u8 - b'1')),
        KeyCode::Tab | KeyCode::Right | KeyCode::Char('l') => Press::Next(true),
        KeyCode::BackTab | KeyCode::Left | KeyCode::Char('h') => Press::Next(false),
        KeyCode::Down | KeyCode::Char('j') => Press::Move(1),
        KeyCode::Up | KeyCode::Char('k') => Press::Move(-1),
        KeyCode::PageDown => Press::Move(20),
        KeyCode::PageUp => Press::Move(-20),
        KeyCode::Home | KeyCode::Char('g') => Press::End(false),
        KeyCode::End | KeyCode::Char('G') => Press::End(true),
        KeyCode::Enter => Press::Open,
        KeyCode::Esc | KeyCode::Backspace => Press::Back,
        KeyCode::Char('s') => Press::Sort,
        KeyCode::Char('r') => Press::Reverse,
        KeyCode::Char('f') => Press::Failed,
        KeyCode::Char('p' | ' ') => Press::Pause,
        KeyCode::Char('q') => Press::Quit,
        _ => return None,
    })
}
