//! Values that nobody reads, checked all the same.

use crate::fault::Result;
use crate::reader::{Place, Reader};

impl<'de> Reader<'de> {
    /// The text of the value that comes next, whatever it holds and however deep.
    pub(crate) fn skip(&mut self) -> Result<&'de str> {
        self.token();
        let start = self.at;
        // The closing brackets that are due.
        let mut closes: Vec<u8> = Vec::new();
        loop {
            match self.token() {
                b'"' => self.skip_string()?,
                open @ (b'{' | b'[') => {
                    // In ASCII either bracket closes two places behind where it opens.
                    closes.push(open + 2);
                    self.at += 1;
                    self.place = Place::Opened;
                }
                _ => self.skip_scalar()?,
            }
            loop {
                let Some(&close) = closes.last() else {
                    return Ok(self.since(start));
                };
                if self.next(close)? {
                    if close == b'}' {
                        self.skip_key()?;
                    }
                    break;
                }
                closes.pop();
                self.place = Place::Within;
            }
        }
    }

    fn skip_key(&mut self) -> Result<()> {
        self.key_opens()?;
        self.skip_string()?;
        self.colon()
    }

    fn skip_scalar(&mut self) -> Result<()> {
        match self.peek() {
            b'n' => self.literal("null"),
            b't' | b'f' => self.boolean().map(drop),
            b'-' | b'0'..=b'9' => self.skip_number().map(drop),
            _ => Err(self.unexpected()),
        }
    }
}
