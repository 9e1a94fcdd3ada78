//! A replica in the process of the test.

use super::*;

/// One replica with the limits of one client.
pub struct Replica {
    pub engine: Arc<Valkey>,
    pub account: Arc<Account>,
    pub clock: Arc<Clock>,
    /// Requests for which the engine was too slow.
    pub late: AtomicU64,
}

impl Replica {
    pub async fn start(state: &State, limits: &Limits) -> Self {
        let (terms, book, clock) = (Arc::new(Terms::default()), Arc::new(Book::default()), Arc::new(Clock::system()));
        book.share(Arc::clone(&terms));
        let account = book.account(Owner::Client("a".into()), limits);
        let engine = Valkey::start(state, terms, book, Arc::clone(&clock)).await.unwrap();
        Self { engine: Arc::new(engine), account, clock, late: AtomicU64::new(0) }
    }

    pub fn now(&self) -> crate::limits::Moment {
        self.clock.moment(Instant::now())
    }

    /// Lets a request in, or refuses it, as the proxy does.
    pub async fn admit(&self, cost: Cost) -> Result<Reservation, Until> {
        let accounts = [Some(&self.account), None, None, None];
        let began = Instant::now();
        loop {
            match Reservation::take(accounts, cost, self.now()) {
                Err(refusal) if refusal.until == Until::Ask => {
                    let is_late = began.elapsed() >= self.engine.timeout;
                    if is_late || self.engine.ask(&refusal.owner, cost).await == Asked::Late {
                        self.late.fetch_add(1, Relaxed);
                        return Reservation::take_late(accounts, cost, self.now()).map_err(|refusal| refusal.until);
                    }
                }
                other => return other.map_err(|refusal| refusal.until),
            }
        }
    }

    pub async fn spend(&self, cost: Cost, nano: u64) -> bool {
        match self.admit(cost).await {
            Ok(taken) => {
                taken.settle(Charge { tokens: 0, nano }, self.now());
                true
            }
            Err(_) => false,
        }
    }

    pub async fn finish(self) {
        let engine = Arc::clone(&self.engine);
        tokio::task::spawn_blocking(move || engine.finish()).await.unwrap();
    }
}

pub async fn replicas(server: &Server, limits: &Limits, number: usize) -> Vec<Arc<Replica>> {
    let state = server.state();
    let all = join_all((0..number).map(|_| Replica::start(&state, limits))).await;
    let all: Vec<_> = all.into_iter().map(Arc::new).collect();
    eventually("all are seen", || all.iter().all(|one| one.engine.replicas() == number as u64)).await;
    all
}

pub async fn eventually(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..2000 {
        if condition() {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
    panic!("it does not come: {what}");
}

pub fn nano(nano: u64) -> Cost {
    Cost { nano, ..ONE }
}

pub async fn burst(all: &[Arc<Replica>], number: usize, over: Duration, cost: Cost) -> u64 {
    let admitted = Arc::new(AtomicU64::new(0));
    let requests = (0..number).map(|n| {
        let (one, admitted) = (Arc::clone(&all[n % all.len()]), Arc::clone(&admitted));
        async move {
            sleep(over.mul_f64(n as f64 / number as f64)).await;
            if one.spend(cost, cost.nano).await {
                admitted.fetch_add(1, Relaxed);
            }
        }
    });
    join_all(requests).await;
    admitted.load(Relaxed)
}
