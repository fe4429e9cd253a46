//! RESP2 over the host's socket. The `redis-protocol` crate reads the answers.

use std::time::Duration;

use bytes::Bytes;
use ironferry::{Connection, Context, HostError, Result};
use redis_protocol::resp2::decode::decode;
use redis_protocol::resp2::types::OwnedFrame;

use super::address::Server;
use super::{Answer, Command, command, garbled, gone, refused};

/// More than any pipeline of ours is answered with: what goes on for longer is no Redis.
const LARGEST: usize = 64_000_000;

pub(super) struct Socket {
    cx: Context,
    connection: Box<dyn Connection>,
    timeout: Duration,
    /// What has arrived and is not read yet.
    received: Vec<u8>,
    /// How much of it is read.
    at: usize,
}

impl Socket {
    /// Connects, logs in and selects the database.
    pub(super) async fn open(cx: &Context, server: &Server, timeout: Duration) -> Result<Self> {
        let connecting = cx.within(timeout, cx.connect(server.address.clone())).await;
        let connection = connecting.and_then(|connection| connection).map_err(gone)?;
        let mut socket = Self { cx: cx.clone(), connection, timeout, received: Vec::new(), at: 0 };
        let mut greeting = Vec::new();
        match (&server.user, &server.password) {
            (Some(user), Some(password)) => greeting.push(command(["AUTH", user, password.expose()])),
            (None, Some(password)) => greeting.push(command(["AUTH", password.expose()])),
            _ => {}
        }
        if server.database != 0 {
            greeting.push(command(["SELECT", &server.database.to_string()]));
        }
        if !greeting.is_empty() {
            for answer in socket.send(&greeting).await? {
                if let Answer::Failed(words) = answer {
                    return Err(refused(&words));
                }
            }
        }
        Ok(socket)
    }

    pub(super) async fn send(&mut self, commands: &[Command]) -> Result<Vec<Answer>> {
        let writing = self.connection.write(encode(commands));
        self.cx.within(self.timeout, writing).await.and_then(|written| written).map_err(gone)?;
        let mut answers = Vec::with_capacity(commands.len());
        while answers.len() < commands.len() {
            match decode(&self.received[self.at..]) {
                Ok(Some((frame, length))) => {
                    self.at += length;
                    answers.push(answer(frame));
                }
                Ok(None) => self.receive().await?,
                Err(problem) => return Err(garbled(problem.details())),
            }
        }
        Ok(answers)
    }

    async fn receive(&mut self) -> Result<()> {
        let reading = self.connection.read();
        let bytes = self.cx.within(self.timeout, reading).await.and_then(|bytes| bytes).map_err(gone)?;
        if bytes.is_empty() {
            return Err(gone(HostError::Failed("the connection was closed".to_owned())));
        }
        self.received.drain(..std::mem::take(&mut self.at));
        if self.received.len() + bytes.len() > LARGEST {
            return Err(garbled("an answer without end"));
        }
        self.received.extend_from_slice(&bytes);
        Ok(())
    }
}

/// Each command as an array of bulk strings.
fn encode(commands: &[Command]) -> Bytes {
    let mut bytes = Vec::with_capacity(commands.len() * 64);
    let number = |bytes: &mut Vec<u8>, mark: u8, number: usize| {
        bytes.push(mark);
        bytes.extend_from_slice(number.to_string().as_bytes());
        bytes.extend_from_slice(b"\r\n");
    };
    for parts in commands {
        number(&mut bytes, b'*', parts.len());
        for part in parts {
            number(&mut bytes, b'$', part.len());
            bytes.extend_from_slice(part);
            bytes.extend_from_slice(b"\r\n");
        }
    }
    bytes.into()
}

fn answer(frame: OwnedFrame) -> Answer {
    match frame {
        OwnedFrame::SimpleString(text) | OwnedFrame::BulkString(text) => Answer::Text(text),
        OwnedFrame::Error(words) => Answer::Failed(words),
        OwnedFrame::Integer(number) => Answer::Int(number),
        OwnedFrame::Array(frames) => Answer::List(frames.into_iter().map(answer).collect()),
        OwnedFrame::Null => Answer::Nil,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_written_as_arrays_of_bulk_strings() {
        let bytes = encode(&[command(["GET", "token:ü"]), command(["PING"])]);
        assert_eq!(bytes, "*2\r\n$3\r\nGET\r\n$8\r\ntoken:ü\r\n*1\r\n$4\r\nPING\r\n".as_bytes());
    }

    #[test]
    fn answers_of_every_kind_are_read() {
        let bytes = b"*5\r\n+OK\r\n$2\r\nab\r\n:-2\r\n$-1\r\n-WRONGTYPE no\r\n";
        let (frame, length) = decode(bytes).unwrap().unwrap();
        assert_eq!(length, bytes.len());
        let text = |text: &str| Answer::Text(text.as_bytes().to_vec());
        let failed = Answer::Failed("WRONGTYPE no".to_owned());
        assert_eq!(
            answer(frame),
            Answer::List(vec![text("OK"), text("ab"), Answer::Int(-2), Answer::Nil, failed])
        );
    }
}
