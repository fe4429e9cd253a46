//! What the workers of the functions have, asked of themselves: they answer with what they were started with, and
//! several generations answer side by side for a while.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use futures_util::future::join_all;

use crate::remote::{Method, Remote, RemoteError};

/// The SDK answers there, for every function.
const ROUTE: &str = ".ironferry/keys";
/// What the answer begins with.
const HEAD: &str = "ironferry keys\n";
const REFUSED: &str = "a worker refuses the key";
/// A first call starts a worker.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// So many times in a row, where no time is asked for.
const IN_A_ROW: u32 = 3;
/// Longer than that, on top of the time asked for, nothing is waited for.
const PATIENCE: Duration = Duration::from_mins(10);

/// What every worker of a function shall have.
pub(super) enum Wanted<'a> {
    /// Takes this service key.
    Takes(&'a str),
    /// Takes the first and refuses each of the others.
    TakesAlone(&'a str, &'a [&'a str]),
    /// Has a key of this id in the ring.
    Has { ring: &'a str, id: &'a str },
    /// Has these keys in the ring, in this order.
    HasExactly { ring: &'a str, ids: &'a [String] },
}

/// The functions to ask, and how.
pub(super) struct Workers {
    pub(super) functions: Vec<String>,
    pub(super) url: String,
    /// What they take at all times of this step.
    pub(super) key: String,
}

impl Workers {
    /// Asks each function again and again until none has answered otherwise for so long. An answer of an older
    /// worker begins the time anew.
    pub(super) async fn settle(&self, wanted: &Wanted<'_>, settle: Duration) -> Result<()> {
        let pause = (settle / 80).clamp(Duration::from_millis(100), Duration::from_secs(5));
        let end = Instant::now() + settle + PATIENCE;
        let each = self.functions.iter().map(|function| async move {
            let mut since = Instant::now();
            let mut row = 0;
            loop {
                match self.look(function, wanted).await {
                    Ok(()) => row += 1,
                    Err(problem) if Instant::now() > end => {
                        bail!("{function} has not taken the change over: {problem}. Run again to go on")
                    }
                    Err(_) => (since, row) = (Instant::now(), 0),
                }
                if row >= IN_A_ROW && since.elapsed() >= settle {
                    return Ok(());
                }
                tokio::time::sleep(pause).await;
            }
        });
        join_all(each).await.into_iter().collect()
    }

    /// One look, with some patience for a worker that starts: the first function that has not what it should.
    pub(super) async fn first_without(&self, wanted: &Wanted<'_>) -> Option<(String, String)> {
        let looks = self.functions.iter().map(|function| async move {
            let mut problem = None;
            for _ in 0..IN_A_ROW {
                problem = self.look(function, wanted).await.err();
                if problem.is_none() {
                    break;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Some((function.clone(), problem?))
        });
        join_all(looks).await.into_iter().flatten().next()
    }

    async fn look(&self, function: &str, wanted: &Wanted<'_>) -> Result<(), String> {
        match wanted {
            Wanted::Takes(key) => self.ask(function, key).await.map(drop),
            Wanted::TakesAlone(key, others) => {
                self.ask(function, key).await?;
                for other in *others {
                    match self.ask(function, other).await {
                        Ok(_) => return Err("a worker takes the old key".to_owned()),
                        Err(problem) if problem != REFUSED => return Err(problem),
                        Err(_) => {}
                    }
                }
                Ok(())
            }
            Wanted::Has { ring, id } => {
                let rings = self.ask(function, &self.key).await?;
                let has = rings.get(*ring).is_some_and(|ids| ids.iter().any(|known| known == id));
                if has { Ok(()) } else { Err(format!("a worker has no key {id} in {ring}")) }
            }
            Wanted::HasExactly { ring, ids } => {
                let rings = self.ask(function, &self.key).await?;
                let has = rings.get(*ring).is_some_and(|known| known == ids);
                if has { Ok(()) } else { Err(format!("a worker has other keys in {ring}")) }
            }
        }
    }

    /// The rings of whichever worker answers, with the ids of their keys.
    async fn ask(&self, function: &str, key: &str) -> Result<BTreeMap<String, Vec<String>>, String> {
        let remote =
            Remote::at(&self.url, key).map_err(|error| error.to_string())?.patient_for(ANSWER_WITHIN);
        let path = format!("{function}/{ROUTE}");
        match remote.function(Method::GET, &path, None).await {
            Ok(reply)
                if reply.status == 200 && reply.json.as_str().is_some_and(|text| text.starts_with(HEAD)) =>
            {
                let line = |line: &str| {
                    let mut words = line.split(' ').map(str::to_owned);
                    Some((words.next()?, words.collect()))
                };
                Ok(reply.json.as_str().unwrap_or_default().lines().skip(1).filter_map(line).collect())
            }
            Ok(reply) if reply.status < 500 => {
                Err("it does not know the question: deploy it as it is now, by `ferry deploy`".to_owned())
            }
            Ok(reply) => Err(reply.problem()),
            Err(RemoteError::KeyRefused { .. }) => Err(REFUSED.to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}
