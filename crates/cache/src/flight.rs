//! Single flight: of those who want the same thing at the same time one does the work, and all get
//! what came of it.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Poll, Waker};

use ironferry::{Context, Error, Result};

use crate::instance;
use crate::read::Found;

pub(crate) type Flights = Vec<(String, Rc<Flight>)>;

#[derive(Default)]
pub(crate) struct Flight {
    outcome: RefCell<Option<Result<Found, Error>>>,
    wakers: RefCell<Vec<Waker>>,
}

/// Does the work, unless it is being done already, and gives its outcome. The work goes on by itself
/// when this request is gone; when it panics, those who wait get 500 `CRASHED`.
pub(crate) async fn join<W>(cx: &Context, name: String, work: impl FnOnce() -> W) -> Result<Found>
where
    W: Future<Output = Result<Found>> + 'static,
{
    let known = instance::with(|instance| {
        instance.flights.iter().find(|(known, _)| *known == name).map(|(_, flight)| flight.clone())
    });
    let flight = known.unwrap_or_else(|| {
        let flight = Rc::new(Flight::default());
        instance::with(|instance| instance.flights.push((name.clone(), flight.clone())));
        let (work, landed, inside) = (work(), flight.clone(), cx.clone());
        cx.wait_until(async move {
            let outcome = inside.isolated(work).await.and_then(|outcome| outcome);
            instance::with(|instance| {
                instance.flights.retain(|(_, flight)| !Rc::ptr_eq(flight, &landed));
            });
            landed.outcome.replace(Some(outcome));
            for waker in landed.wakers.take() {
                waker.wake();
            }
        });
        flight
    });
    std::future::poll_fn(|task| match &*flight.outcome.borrow() {
        Some(Ok(found)) => Poll::Ready(Ok(found.clone())),
        Some(Err(error)) => Poll::Ready(Err(again(error))),
        None => {
            flight.wakers.borrow_mut().push(task.waker().clone());
            Poll::Pending
        }
    })
    .await
}

/// The same error for one more caller. Its cause has been logged by the first.
pub(crate) fn again(error: &Error) -> Error {
    let copy = Error::new(error.kind(), error.to_string()).code(error.as_code().to_owned());
    match error.as_details() {
        Some(details) => copy.details(details.clone()),
        None => copy,
    }
}

/// Does the work unless somebody of the same name is at it; who had to wait gets nothing and looks
/// again at what that one has left.
pub(crate) async fn lock<T>(name: String, work: impl Future<Output = T>) -> Option<T> {
    let known = instance::with(|instance| {
        let known =
            instance.flights.iter().find(|(known, _)| *known == name).map(|(_, flight)| flight.clone());
        if known.is_none() {
            instance.flights.push((name, Rc::default()));
        }
        known
    });
    let Some(flight) = known else {
        let own = instance::with(|instance| instance.flights.last().map(|(_, flight)| flight.clone()))?;
        let _landing = Landing(own);
        return Some(work.await);
    };
    std::future::poll_fn(|task| {
        let gone =
            instance::with(|instance| !instance.flights.iter().any(|(_, other)| Rc::ptr_eq(other, &flight)));
        if gone {
            return Poll::Ready(());
        }
        flight.wakers.borrow_mut().push(task.waker().clone());
        Poll::Pending
    })
    .await;
    None
}

/// Ends the lock however its work ends.
struct Landing(Rc<Flight>);

impl Drop for Landing {
    fn drop(&mut self) {
        instance::with(|instance| {
            instance.flights.retain(|(_, flight)| !Rc::ptr_eq(flight, &self.0));
        });
        for waker in self.0.wakers.take() {
            waker.wake();
        }
    }
}
