//! The addresses of providers' names: resolved by the system, kept for a short time, refreshed in the background.
//!
//! The system's `getaddrinfo` is asked, and not a resolver of our own, so that a name means here what it means to every
//! other program of the machine: `/etc/hosts`, search domains and whatever else `nsswitch.conf` names (containers,
//! VPNs, mDNS) included. It blocks, for half a minute where name servers are silent, and cannot be given up. So it is
//! called on threads that are kept for it: one at most for each name, and a bounded number of them. A name without an
//! answer takes one of them and nothing else; neither requests nor the end of the process wait for it.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType};
use tokio::sync::watch;
use tokio::time::Instant;

use super::connect::lack_of;

/// An answer younger than this is used without another question.
const FRESH: Duration = Duration::from_secs(10);
/// An older one is used while a new one is sought, even when seeking fails for as long as this: name servers that are
/// down are no reason to stop serving.
const KEPT: Duration = Duration::from_secs(3600);
/// The time for which the lack of an answer is remembered.
const REFUSED: Duration = Duration::from_secs(1);

/// The most names that are resolved at the same time.
const THREADS: usize = 32;
/// The stack of a thread: enough for the modules that the C library loads. Pages that are not touched cost nothing.
const STACK: usize = 1 << 20;

/// Asks for the addresses of a name; blocks.
type Lookup = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Answers the questions of all names.
#[derive(Clone)]
pub struct Resolver(Arc<Shared>);

struct Shared {
    lookup: Box<Lookup>,
    work: Mutex<Work>,
}

#[derive(Default)]
struct Work {
    /// Threads that run.
    threads: usize,
    /// Names that no thread has taken up.
    waiting: VecDeque<Arc<Name>>,
}

/// One name and its addresses.
pub struct Name {
    host: String,
    resolver: Resolver,
    known: watch::Sender<Known>,
    /// The address that is tried first, counted on from connection to connection.
    turn: AtomicUsize,
}

/// The knowledge of one name: plain state, given the time.
#[derive(Debug, Default)]
struct Known {
    found: Option<Found>,
    /// The time at which it was last said that there is no such name, after something was found.
    refused: Option<(Instant, Arc<io::Error>)>,
    /// True while an answer is being sought.
    seeking: bool,
}

#[derive(Debug)]
struct Found {
    /// Never empty.
    addresses: Vec<SocketAddr>,
    at: Instant,
    /// True when the next connection resolves anew, whatever the age of this answer.
    suspect: bool,
}

/// The next step for a connection.
#[derive(Debug)]
enum Advice {
    Use { addresses: Vec<SocketAddr>, seek: bool },
    Refuse(Arc<io::Error>),
    SeekAndWait,
}

impl Known {
    fn advice(&self, now: Instant) -> Advice {
        let refused = self.refused.as_ref().filter(|(at, _)| now.duration_since(*at) < REFUSED);
        if let Some(found) = &self.found {
            let age = now.duration_since(found.at);
            if age < KEPT {
                let seek = refused.is_none() && (age >= FRESH || found.suspect);
                return Advice::Use { addresses: found.addresses.clone(), seek };
            }
        }
        match refused {
            Some((_, error)) => Advice::Refuse(Arc::clone(error)),
            None => Advice::SeekAndWait,
        }
    }

    fn settle(&mut self, answer: io::Result<Vec<SocketAddr>>, now: Instant) {
        self.seeking = false;
        match answer {
            Ok(addresses) if !addresses.is_empty() => {
                self.found = Some(Found { addresses, at: now, suspect: false });
                self.refused = None;
            }
            Ok(_) => self.refused = Some((now, Arc::new(io::Error::other("the name has no address")))),
            Err(error) => self.refused = Some((now, Arc::new(error))),
        }
    }
}

impl Default for Resolver {
    fn default() -> Self {
        Self::with(|host| Ok((host, 0).to_socket_addrs()?.collect()))
    }
}

impl Resolver {
    fn with(lookup: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared { lookup: Box::new(lookup), work: Mutex::default() }))
    }

    /// A name of which nothing is known yet.
    pub fn name(&self, host: &str) -> Arc<Name> {
        let (host, resolver) = (host.to_owned(), self.clone());
        Arc::new(Name { host, resolver, known: watch::Sender::default(), turn: AtomicUsize::new(0) })
    }

    /// Has a thread seek an answer for `name`.
    fn seek(&self, name: Arc<Name>) {
        let mut work = self.0.work.lock();
        work.waiting.push_back(name);
        if work.threads >= THREADS {
            return;
        }
        let resolver = self.clone();
        let thread = std::thread::Builder::new().name("names".to_owned()).stack_size(STACK);
        match thread.spawn(move || resolver.answer_all()) {
            Ok(_detached) => work.threads += 1,
            // The threads that run already will take it.
            Err(_) if work.threads > 0 => {}
            Err(error) => {
                tracing::warn!(%error, "no thread can be started to resolve names: {error}");
                let waiting = std::mem::take(&mut work.waiting);
                drop(work);
                for name in waiting {
                    name.settle(Err(Errno::NOMEM.into()));
                }
            }
        }
    }

    /// Answers queries until there is nothing more to do; each thread runs this.
    fn answer_all(&self) {
        loop {
            let name = {
                let mut work = self.0.work.lock();
                let Some(name) = work.waiting.pop_front() else {
                    work.threads -= 1;
                    return;
                };
                name
            };
            let answer = (self.0.lookup)(&name.host).map_err(|error| lacking_descriptors().unwrap_or(error));
            name.settle(answer);
        }
    }
}

/// The C library calls a name unknown also when it cannot open a socket to ask for it.
fn lacking_descriptors() -> Option<io::Error> {
    let error = io::Error::from(rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None).err()?);
    lack_of(&error).is_some().then_some(error)
}

impl Name {
    /// The name itself.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its addresses, another one first each time. Waits only while nothing is known.
    ///
    /// # Errors
    ///
    /// The reason why there are none.
    pub async fn addresses(self: &Arc<Self>, port: u16) -> Result<Vec<SocketAddr>, Arc<io::Error>> {
        let mut known = self.known.subscribe();
        loop {
            let advice = known.borrow_and_update().advice(Instant::now());
            match advice {
                Advice::Use { mut addresses, seek } => {
                    if seek {
                        self.seek();
                    }
                    let first = self.turn.fetch_add(1, Relaxed) % addresses.len();
                    addresses.rotate_left(first);
                    addresses.iter_mut().for_each(|address| address.set_port(port));
                    return Ok(addresses);
                }
                Advice::Refuse(error) => return Err(error),
                Advice::SeekAndWait => self.seek(),
            }
            // The sender lives as long as `self`.
            let _ = known.changed().await;
        }
    }

    /// None of its addresses could be reached: the next connection seeks new ones.
    pub fn suspect(&self) {
        self.known.send_if_modified(|known| {
            if let Some(found) = &mut known.found {
                found.suspect = true;
            }
            false
        });
    }

    /// Has an answer sought, unless one is being sought already.
    fn seek(self: &Arc<Self>) {
        let mut begins = false;
        self.known.send_if_modified(|known| {
            begins = !std::mem::replace(&mut known.seeking, true);
            false
        });
        if begins {
            self.resolver.seek(Arc::clone(self));
        }
    }

    fn settle(&self, answer: io::Result<Vec<SocketAddr>>) {
        let now = Instant::now();
        self.known.send_modify(|known| known.settle(answer, now));
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Name").field(&self.host).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn addresses(ends: &[u8]) -> Vec<SocketAddr> {
        ends.iter().map(|end| SocketAddr::from(([10, 0, 0, *end], 0))).collect()
    }

    fn ends(addresses: &[SocketAddr]) -> Vec<String> {
        addresses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_answer_is_kept_and_an_old_one_is_used_while_a_new_one_is_sought() {
        let began = Instant::now();
        let after = |seconds| began + Duration::from_secs(seconds);
        let mut known = Known::default();
        assert!(matches!(known.advice(began), Advice::SeekAndWait));
        known.settle(Ok(addresses(&[1])), began);
        assert!(matches!(known.advice(after(9)), Advice::Use { seek: false, .. }));
        assert!(matches!(known.advice(after(11)), Advice::Use { seek: true, .. }));
        // A failed refresh keeps the old answer, and is not repeated at once.
        known.settle(Err(io::Error::other("no server answers")), after(11));
        assert!(matches!(known.advice(after(11)), Advice::Use { seek: false, .. }));
        assert!(matches!(known.advice(after(13)), Advice::Use { seek: true, .. }));
        assert!(matches!(known.advice(after(4000)), Advice::SeekAndWait));
        known.settle(Ok(addresses(&[2])), after(4000));
        assert!(
            matches!(known.advice(after(4001)), Advice::Use { seek: false, addresses } if ends(&addresses) == ["10.0.0.2:0"])
        );
    }

    #[test]
    fn that_there_is_no_address_holds_for_a_moment() {
        let began = Instant::now();
        let mut known = Known::default();
        known.settle(Ok(Vec::new()), began);
        assert!(matches!(known.advice(began), Advice::Refuse(_)));
        assert!(matches!(known.advice(began + Duration::from_secs(2)), Advice::SeekAndWait));
    }

    #[tokio::test]
    async fn all_addresses_are_used_in_turn() {
        let name = Resolver::with(|_| Ok(addresses(&[1, 2, 3]))).name("a");
        let mut first = Vec::new();
        for _ in 0..4 {
            let found = name.addresses(80).await.expect("found");
            assert_eq!(found.len(), 3);
            first.push(found[0].to_string());
        }
        assert_eq!(first, ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.1:80"]);
    }

    #[tokio::test]
    async fn a_name_is_asked_for_once_at_a_time_and_holds_up_no_other() {
        let asked = Arc::new(AtomicUsize::new(0));
        let (release, held) = mpsc::channel::<()>();
        let held = Mutex::new(held);
        let resolver = Resolver::with({
            let asked = Arc::clone(&asked);
            move |host| {
                if host == "dead" {
                    asked.fetch_add(1, Relaxed);
                    let _ = held.lock().recv();
                    return Err(io::Error::other("dead"));
                }
                Ok(addresses(&[1]))
            }
        });
        let (dead, alive) = (resolver.name("dead"), resolver.name("alive"));
        let mut waiting: Vec<_> = (0..100).map(|_| Box::pin(dead.addresses(1))).collect();
        for wait in &mut waiting {
            assert!(futures_util::poll!(wait).is_pending());
        }
        assert!(alive.addresses(1).await.is_ok());
        drop(release);
        for wait in waiting {
            assert_eq!(wait.await.expect_err("dead").to_string(), "dead");
        }
        assert_eq!(asked.load(Relaxed), 1);
        assert!(resolver.0.work.lock().threads <= 2);
    }

    #[tokio::test]
    async fn addresses_that_cannot_be_reached_are_sought_again() {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let name = Resolver::with(move |_| Ok(addresses(&[u8::try_from(counted.fetch_add(1, Relaxed)).expect("few")])))
            .name("a");
        assert_eq!(ends(&name.addresses(1).await.expect("found")), ["10.0.0.0:1"]);
        name.suspect();
        assert_eq!(ends(&name.addresses(1).await.expect("found")), ["10.0.0.0:1"], "the old one, while it is sought");
        let mut known = name.known.subscribe();
        known.wait_for(|known| !known.seeking).await.expect("it lives");
        assert_eq!(ends(&name.addresses(1).await.expect("found")), ["10.0.0.1:1"]);
    }
}
