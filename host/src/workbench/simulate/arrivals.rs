//! The requests of a simulation: drawn at random, or as a ledger has them.

use std::io;

use super::actor::Drawn;
use super::dice::Dice;
use super::fit::arrivals;
use super::scenario::{Script, Spread, Traffic};

/// Requests, each with the seconds from the beginning at which it comes.
pub type Played = Vec<(f64, Asked)>;

/// The requests of the ledger that a scenario names; `None` if it names none.
///
/// # Errors
///
/// The ledger that cannot be read, and why.
pub fn recorded(script: &Script) -> Result<Option<Played>, (String, io::Error)> {
    let Some(recorded) = &script.traffic.recorded else { return Ok(None) };
    let read = arrivals(recorded, &script.traffic);
    read.map(Some).map_err(|error| (recorded.ledger.display().to_string(), error))
}

/// The requests that come: as a ledger has them, or drawn.
#[derive(Debug)]
pub enum Coming<'a> {
    /// As they came.
    Recorded(std::vec::IntoIter<(f64, Asked)>),
    /// Drawn.
    Drawn(Arrivals<'a>, Dice),
}

impl<'a> Coming<'a> {
    /// Those of a scenario, or these of a ledger.
    pub fn of(script: &'a Script, recorded: Option<Played>) -> Self {
        match recorded {
            Some(recorded) => Self::Recorded(recorded.into_iter()),
            None => {
                let arrivals = Arrivals { traffic: &script.traffic, dice: Dice::new(script.seed, 1), at: 0.0 };
                Self::Drawn(arrivals, Dice::new(script.seed, 2))
            }
        }
    }

    /// The next one, with the seconds from the beginning; `None` if there are no more.
    pub fn next(&mut self) -> Option<(f64, Asked)> {
        match self {
            Self::Recorded(requests) => requests.next(),
            Self::Drawn(arrivals, dice) => {
                let (at, client) = arrivals.next();
                Some((at, Asked { client, ..Asked::draw(arrivals.traffic, dice) }))
            }
        }
    }
}

/// The arrival of requests: a Poisson process whose rate changes at the ends of bursts.
#[derive(Debug)]
pub struct Arrivals<'a> {
    traffic: &'a Traffic,
    dice: Dice,
    at: f64,
}

impl Arrivals<'_> {
    /// The time of the next one, and its client.
    fn next(&mut self) -> (f64, Option<String>) {
        loop {
            let burst = self.traffic.bursts.iter().find(|burst| burst.from <= self.at && self.at < burst.until);
            let rate = burst.map_or(self.traffic.rate, |burst| burst.rate);
            let ends = self.traffic.bursts.iter().flat_map(|burst| [burst.from, burst.until]);
            let until = ends.filter(|end| *end > self.at).fold(f64::INFINITY, f64::min);
            let next = self.at + self.dice.pause(rate);
            if next < until {
                self.at = next;
                let client = burst.and_then(|burst| burst.client.as_ref());
                return (next, client.or(self.traffic.client.as_ref()).cloned());
            }
            // A request that would come later is drawn again, because a Poisson process has no memory.
            self.at = until;
        }
    }
}

/// The values of a request.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The name of its client, if that is one in particular.
    pub client: Option<String>,
    /// The model that it asks for.
    pub model: String,
    /// The tokens of its prompt.
    pub input_tokens: f64,
    /// What its provider is told.
    pub drawn: Drawn,
}

impl Asked {
    fn draw(traffic: &Traffic, dice: &Dice) -> Self {
        let tokens = |spread: Spread| dice.spread(spread.median, spread.p95).round().max(1.0);
        let input_tokens = tokens(traffic.input_tokens).min(1e6);
        let drawn = Drawn {
            output_tokens: tokens(traffic.output_tokens).min(1e6) as u32,
            session: traffic.sessions.map_or(0, |sessions| dice.below(sessions) + 1),
            streaming: dice.happens(traffic.streaming),
        };
        Self { client: None, model: traffic.model.clone(), input_tokens, drawn }
    }
}
