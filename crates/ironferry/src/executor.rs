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
    /// Few: as many as there are requests in flight and pieces of work beside them.
    waiting: Vec<Task>,
    /// The one that is being polled. It stays here when the poll traps.
    polled: Option<Polled>,
}

struct Task {
    id: TaskId,
    request: RequestId,
    role: Role,
    future: Future<()>,
}

struct Polled {
    #[cfg_attr(not(any(target_arch = "wasm32", test)), allow(dead_code))]
    id: TaskId,
    request: RequestId,
    role: Role,
}

/// What a task is to its request.
pub(crate) enum Role {
    /// Its reply: when it is lost, the request has failed.
    Reply,
    /// Work of its own; told when it is lost.
    Beside(Box<dyn FnOnce()>),
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
    pub(crate) fn spawn(&self, request: RequestId, role: Role, future: Future<()>) {
        let mut tasks = self.tasks.borrow_mut();
        let id = tasks.next;
        tasks.next = id.wrapping_add(1);
        tasks.waiting.push(Task { id, request, role, future });
        self.ready.push(id);
    }

    /// Polls what is ready until nothing is, and gives the requests that have no task left. After a
    /// trap it begins with the task that was lost.
    pub(crate) fn run(&self) -> Vec<RequestId> {
        let mut done = Vec::new();
        let lost = self.tasks.borrow_mut().polled.take();
        if let Some(Polled { request, role, .. }) = lost {
            if let Role::Beside(on_lost) = role {
                on_lost();
            }
            done.extend(self.tasks.borrow().over(request));
        }
        while let Some(id) = self.ready.pop() {
            done.extend(self.poll(id));
        }
        done
    }

    /// The task that is being polled, or was when the instance trapped: its number, its request, and
    /// whether it is the reply.
    #[cfg(any(target_arch = "wasm32", test))]
    pub(crate) fn polled(&self) -> Option<(TaskId, RequestId, bool)> {
        let tasks = self.tasks.borrow();
        tasks.polled.as_ref().map(|task| (task.id, task.request, matches!(task.role, Role::Reply)))
    }

    /// How many tasks wait.
    #[cfg(all(feature = "inspect", target_arch = "wasm32"))]
    pub(crate) fn task_count(&self) -> usize {
        self.tasks.borrow().waiting.len()
    }

    fn poll(&self, id: TaskId) -> Option<RequestId> {
        // A task may be woken twice, or after its end.
        let Task { id, request, role, mut future } = self.tasks.borrow_mut().take(id)?;
        self.tasks.borrow_mut().polled = Some(Polled { id, request, role });
        let waker = Waker::from(Arc::new(TaskWaker { task: id, ready: self.ready.clone() }));
        let outcome = future.as_mut().poll(&mut Context::from_waker(&waker));
        let mut tasks = self.tasks.borrow_mut();
        let role = tasks.polled.take().map_or(Role::Reply, |polled| polled.role);
        if outcome == Poll::Pending {
            tasks.waiting.push(Task { id, request, role, future });
            return None;
        }
        tasks.over(request)
    }
}

impl Tasks {
    fn take(&mut self, id: TaskId) -> Option<Task> {
        let index = self.waiting.iter().position(|task| task.id == id)?;
        Some(self.waiting.swap_remove(index))
    }

    /// The request, when it has no task left.
    fn over(&self, request: RequestId) -> Option<RequestId> {
        self.waiting.iter().all(|task| task.request != request).then_some(request)
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
        executor.spawn(7, Role::Reply, Box::pin(yield_once()));
        executor.spawn(7, Role::Beside(Box::new(|| {})), Box::pin(async {}));
        assert_eq!(executor.run(), [7]);
        assert!(executor.tasks.borrow().waiting.is_empty());
    }

    #[test]
    fn a_panic_costs_its_own_task_only() {
        let executor = Executor::default();
        let finished = Rc::new(Cell::new(0));
        let (other, told) = (finished.clone(), finished.clone());
        let on_lost = Role::Beside(Box::new(move || told.set(told.get() + 10)));
        executor.spawn(1, on_lost, Box::pin(async { panic!("on purpose") }));
        executor.spawn(1, Role::Reply, Box::pin(yield_once()));
        executor.spawn(2, Role::Reply, Box::pin(async move { other.set(other.get() + 1) }));
        assert!(catch_unwind(AssertUnwindSafe(|| executor.run())).is_err());
        assert_eq!(executor.polled(), Some((0, 1, false)));
        assert_eq!(executor.run(), [2, 1]);
        assert_eq!(finished.get(), 11, "who waits for the lost task is told, and the others go on");
    }
}
