//! Polls the futures of a wasm instance: a request's own and what it left to `wait_until`.
//!
//! Nothing of the executor is borrowed while a future is polled. A poll that traps therefore
//! loses its own task only; the tasks beside it can be resumed on the same instance.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use crate::host::Future;

/// A request's number, given by the shim.
pub(crate) type RequestId = u32;
type TaskId = u32;

#[derive(Default)]
pub(crate) struct Executor {
    tasks: RefCell<Tasks>,
    ready: Arc<Ready>,
}

#[derive(Default)]
struct Tasks {
    next: TaskId,
    /// Few: as many as there are requests in flight and pieces of background work.
    waiting: Vec<Task>,
    #[cfg_attr(not(any(target_arch = "wasm32", test)), allow(dead_code))]
    polled: Option<RequestId>,
}

struct Task {
    id: TaskId,
    request: RequestId,
    future: Future<()>,
}

#[derive(Default)]
struct Ready(Mutex<VecDeque<TaskId>>);

impl Ready {
    fn push(&self, task: TaskId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(task);
    }

    fn pop(&self) -> Option<TaskId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

struct TaskWaker {
    task: TaskId,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.ready.push(self.task);
    }
}

impl Executor {
    /// Adds a task to a request and marks it ready.
    pub(crate) fn spawn(&self, request: RequestId, future: Future<()>) {
        let mut tasks = self.tasks.borrow_mut();
        let id = tasks.next;
        tasks.next = id.wrapping_add(1);
        tasks.waiting.push(Task { id, request, future });
        self.ready.push(id);
    }

    /// Polls what is ready until nothing is, and gives the requests that have no task left.
    pub(crate) fn run(&self) -> Vec<RequestId> {
        let mut done = Vec::new();
        while let Some(id) = self.ready.pop() {
            done.extend(self.poll(id));
        }
        done
    }

    /// The request whose task is being polled, or was when an instance trapped.
    #[cfg(any(target_arch = "wasm32", test))]
    pub(crate) fn polled(&self) -> Option<RequestId> {
        self.tasks.borrow().polled
    }

    fn poll(&self, id: TaskId) -> Option<RequestId> {
        // A task may be woken twice, or after its end.
        let mut task = self.tasks.borrow_mut().take(id)?;
        self.tasks.borrow_mut().polled = Some(task.request);
        let waker = Waker::from(Arc::new(TaskWaker { task: id, ready: self.ready.clone() }));
        let outcome = task.future.as_mut().poll(&mut Context::from_waker(&waker));
        let mut tasks = self.tasks.borrow_mut();
        tasks.polled = None;
        if outcome == Poll::Pending {
            tasks.waiting.push(task);
            return None;
        }
        let over = tasks.waiting.iter().all(|other| other.request != task.request);
        over.then_some(task.request)
    }
}

impl Tasks {
    fn take(&mut self, id: TaskId) -> Option<Task> {
        let index = self.waiting.iter().position(|task| task.id == id)?;
        Some(self.waiting.swap_remove(index))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::rc::Rc;

    use super::*;

    /// Pending once, then ready.
    fn yield_once() -> impl std::future::Future<Output = ()> {
        let mut yielded = false;
        std::future::poll_fn(move |cx| {
            if std::mem::replace(&mut yielded, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }

    #[test]
    fn a_request_is_done_when_its_last_task_is() {
        let executor = Executor::default();
        executor.spawn(7, Box::pin(yield_once()));
        executor.spawn(7, Box::pin(async {}));
        assert_eq!(executor.run(), [7]);
        assert!(executor.tasks.borrow().waiting.is_empty());
    }

    #[test]
    fn a_panic_costs_its_own_task_only() {
        let executor = Executor::default();
        let finished = Rc::new(Cell::new(false));
        let seen = finished.clone();
        executor.spawn(1, Box::pin(async { panic!("on purpose") }));
        executor.spawn(2, Box::pin(async move { seen.set(true) }));
        assert!(catch_unwind(AssertUnwindSafe(|| executor.run())).is_err());
        assert_eq!(executor.polled(), Some(1));
        assert_eq!(executor.run(), [2]);
        assert!(finished.get());
    }
}
