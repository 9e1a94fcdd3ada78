//! The rows of [`super`]. `<ok>` is a sound status line, `<length>` the field of the length, the end of the head and the body,
//! `<chunked>` the head before chunks, and `<chunks>` the body in one chunk.

use super::super::provider::Then::{Closes, Stays};
use super::Gives::{Fails, Kept, Last};
use super::{LAX, OPEN, Row};

/// Status lines.
pub const LINES: &[Row] = &[
    ("4", "a sound line", "HTTP/1.1 200 OK\r\n<length>", Stays, Kept),
    ("4", "no reason", "HTTP/1.1 200 \r\n<length>", Stays, Kept),
    ("4", "a reason of several words", "HTTP/1.1 200 All is well\r\n<length>", Stays, Kept),
    ("4", "a reason beyond ASCII", "HTTP/1.1 200 Günstig\r\n<length>", Stays, Kept),
    ("4", "two digits", "HTTP/1.1 99 OK\r\n<length>", Stays, Fails),
    ("4", "four digits", "HTTP/1.1 1000 OK\r\n<length>", Stays, Fails),
    ("4", "a status below all classes", "HTTP/1.1 000 OK\r\n<length>", Stays, Fails),
    ("4", "099", "HTTP/1.1 099 OK\r\n<length>", Stays, Fails),
    ("4", "a letter in the status", "HTTP/1.1 2O0 OK\r\n<length>", Stays, Fails),
    ("4", "a minus", "HTTP/1.1 -20 OK\r\n<length>", Stays, Fails),
    ("4", "no status", "HTTP/1.1 OK\r\n<length>", Stays, Fails),
    ("4", "nothing but the version", "HTTP/1.1\r\n<length>", Stays, Fails),
    ("4", "two spaces before the status", "HTTP/1.1  200 OK\r\n<length>", Stays, Fails),
    ("4", "a tab before the status", "HTTP/1.1\t200 OK\r\n<length>", Stays, Fails),
    ("4", "a space before the version", " <ok><length>", Stays, Fails),
    ("4", "NUL in the reason", "HTTP/1.1 200 O\0K\r\n<length>", Stays, Fails),
    ("2.2", "a bare CR in the reason", "HTTP/1.1 200 O\rK\r\n<length>", Stays, Fails),
    ("2.3", "HTTP/2.0", "HTTP/2.0 200 OK\r\n<length>", Stays, Fails),
    ("2.3", "HTTP/0.9 by name", "HTTP/0.9 200 OK\r\n<length>", Stays, Fails),
    ("2.3", "a version in small letters", "http/1.1 200 OK\r\n<length>", Stays, Fails),
    ("2.3", "another protocol", "ICY 200 OK\r\n<length>", Stays, Fails),
    ("2.3", "no head at all", "<b>", Closes, Fails),
    ("2.3", "the greeting of another protocol", "SSH-2.0-OpenSSH_9.2\r\n", Stays, Fails),
    ("2.3", "HTTP/1.0", "HTTP/1.0 200 OK\r\n<length>", Closes, Last),
    ("9.3", "HTTP/1.0 with more after it", "HTTP/1.0 200 OK\r\n<length>", Stays, Last),
    ("15.2", "an interim answer", "HTTP/1.1 100 Continue\r\n\r\n<ok><length>", Stays, Kept),
    ("15.2", "an unknown interim answer", "HTTP/1.1 199 X\r\nx: y\r\n\r\n<ok><length>", Stays, Kept),
    ("15.2", "an interim answer and nothing", "HTTP/1.1 100 Continue\r\n\r\n", Closes, Fails),
    (
        "15.2",
        "a switch that nobody asked for",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        Stays,
        Fails,
    ),
    ("15.2", "a switch to nothing", "HTTP/1.1 101 Switching Protocols\r\n\r\n", Stays, Fails),
];

/// Fields beside a sound length.
pub const FIELDS: &[Row] = &[
    ("5", "no value", "<ok>x-a:\r\n<length>", Stays, Kept),
    ("5", "white space around a value", "<ok>x-a: \t 1 \t\r\n<length>", Stays, Kept),
    ("5", "a value beyond ASCII", "<ok>x-a: ö\r\n<length>", Stays, Kept),
    ("5.1", "an empty name", "<ok>: 1\r\n<length>", Stays, Fails),
    ("5.1", "no colon", "<ok>x-a\r\n<length>", Stays, Fails),
    ("5.1", "a space in the name", "<ok>x a: 1\r\n<length>", Stays, Fails),
    ("5.1", "a letter beyond ASCII in the name", "<ok>xä: 1\r\n<length>", Stays, Fails),
    ("5.5", "NUL in the value", "<ok>x-a: \0\r\n<length>", Stays, Fails),
    ("5.5", "a control byte in the value", "<ok>x-a: \x01\r\n<length>", Stays, Fails),
    ("5.5", "DEL in the value", "<ok>x-a: \x7f\r\n<length>", Stays, Fails),
    ("2.2", "a bare CR in the value", "<ok>x-a: 1\r2\r\n<length>", Stays, Fails),
    ("2.2", "a bare CR at the end", "<ok>x-a: 1\r\r\n<length>", Stays, Fails),
];

/// Heads of [`LAX`] and [`OPEN`] rows.
pub const HEADS_LEFT_OPEN: &[Row] = &[
    ("4", "no space after the status", "HTTP/1.1 200\r\n<length>", Stays, OPEN),
    ("2.2", "a bare LF as the end of the line", "HTTP/1.1 200 OK\n<length>", Stays, OPEN),
    ("2.2", "a bare LF as the end of a field", "<ok>x-a: 1\n<length>", Stays, OPEN),
    ("2.2", "a bare LF as the end of the head", "<ok>content-length: <n>\r\n\n<b>", Stays, OPEN),
    ("2.2", "an empty line before it", "\r\n<ok><length>", Stays, LAX),
    ("2.3", "HTTP/1.2", "HTTP/1.2 200 OK\r\n<length>", Stays, OPEN),
    ("5.1", "a space before a colon", "<ok>x-a : 1\r\n<length>", Stays, OPEN),
    ("5.1", "a space before the colon of a length", "<ok>content-length : <n>\r\n\r\n<b>", Closes, OPEN),
    ("5.2", "a folded line", "<ok>x-a: 1\r\n 2\r\n<length>", Stays, OPEN),
    ("5.2", "white space before the first field", "<ok> x-a: 1\r\n<length>", Stays, OPEN),
    ("9.3", "HTTP/1.0 that is to be kept", "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n<length>", Stays, OPEN),
];

/// Lengths.
pub const LENGTHS: &[Row] = &[
    ("6.2", "white space around it", "<ok>content-length:\t <n> \t\r\n\r\n<b>", Stays, Kept),
    ("6.2", "zeros before it", "<ok>content-length: 000<n>\r\n\r\n<b>", Stays, Kept),
    ("6.3", "more than it says", "<ok><length>x", Stays, Last),
    ("6.3", "another answer after it", "<ok><length>", Stays, Last),
    ("6.3", "an empty line after it", "<ok><length>\r\n", Stays, Last),
    ("6.3", "less than it says", "<ok>content-length: 9999\r\n\r\n<b>", Closes, Fails),
    ("9.6", "close", "<ok>connection: close\r\n<length>", Stays, Last),
    ("9.6", "close in a second line", "<ok>connection: x\r\nConnection: Close\r\n<length>", Stays, Last),
    ("6.2", "a plus", "<ok>content-length: +<n>\r\n\r\n<b>", Stays, Fails),
    ("6.2", "a minus", "<ok>content-length: -<n>\r\n\r\n<b>", Stays, Fails),
    ("6.2", "a hexadecimal number", "<ok>content-length: 0x<h>\r\n\r\n<b>", Stays, Fails),
    ("6.2", "two numbers", "<ok>content-length: <n> <n>\r\n\r\n<b>", Stays, Fails),
    ("6.2", "a letter after it", "<ok>content-length: <n>a\r\n\r\n<b>", Stays, Fails),
    ("6.2", "2^64 and the right number", "<ok>content-length: 18446744073709551684\r\n\r\n<b>", Stays, Fails),
    ("6.2", "thirty digits", "<ok>content-length: 999999999999999999999999999999\r\n\r\n<b>", Stays, Fails),
    ("6.2", "a word", "<ok>content-length: much\r\n\r\n<b>", Stays, Fails),
    ("6.2", "nothing", "<ok>content-length:\r\n\r\n<b>", Stays, Fails),
    ("6.3", "two that differ", "<ok>content-length: <n>\r\ncontent-length: 7\r\n\r\n<b>", Stays, Fails),
    ("6.3", "two that differ, the smaller first", "<ok>content-length: 7\r\n<length>", Stays, Fails),
    ("6.3", "two that differ in one line", "<ok>content-length: <n>, 7\r\n\r\n<b>", Stays, Fails),
    ("6.3", "to the end of the connection", "<ok>\r\n<b>", Closes, Last),
    ("6.3", "to the end, by HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\n<b>", Closes, Last),
    ("6.3", "a 204, which is no answer to a question", "HTTP/1.1 204 No Content\r\n\r\n", Stays, Fails),
];

/// Codings.
pub const CODINGS: &[Row] = &[
    ("6.1", "chunked", "<chunked><chunks>", Stays, Kept),
    ("6.1", "chunked in other letters", "<ok>Transfer-Encoding: ChunKed \r\n\r\n<chunks>", Stays, Kept),
    ("6.1", "chunked and more after it", "<chunked><chunks>", Stays, Last),
    ("9.6", "chunked and close", "<ok>connection: close\r\ntransfer-encoding: chunked\r\n\r\n<chunks>", Stays, Last),
    (
        "6.3",
        "a length before it",
        "<ok>content-length: <n>\r\ntransfer-encoding: chunked\r\n\r\n<chunks>",
        Stays,
        Fails,
    ),
    ("6.3", "a length after it", "<ok>transfer-encoding: chunked\r\ncontent-length: <n>\r\n\r\n<chunks>", Stays, Fails),
    ("6.3", "a length and an unknown coding", "<ok>transfer-encoding: x\r\n<length>", Stays, Fails),
    ("6.1", "chunked by HTTP/1.0", "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n<chunks>", Closes, Fails),
    ("6.1", "an unknown coding", "<ok>transfer-encoding: xchunked\r\n\r\n<b>", Closes, Fails),
    ("6.1", "identity", "<ok>transfer-encoding: identity\r\n\r\n<b>", Closes, Fails),
    ("6.1", "nothing", "<ok>transfer-encoding:\r\n\r\n<b>", Closes, Fails),
    ("6.1", "gzip before chunked", "<ok>transfer-encoding: gzip, chunked\r\n\r\n<chunks>", Stays, Fails),
    ("6.1", "chunked twice in one line", "<ok>transfer-encoding: chunked, chunked\r\n\r\n<chunks>", Stays, Fails),
    (
        "6.1",
        "chunked twice in two lines",
        "<ok>transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n<chunks>",
        Stays,
        Fails,
    ),
    ("6.1", "gzip after chunked", "<ok>transfer-encoding: chunked, gzip\r\n\r\n<b>", Closes, Fails),
    ("6.1", "chunked with a parameter", "<ok>transfer-encoding: chunked;q=1\r\n\r\n<b>", Closes, Fails),
];

/// Framings of [`OPEN`] rows.
pub const FRAMINGS_LEFT_OPEN: &[Row] = &[
    ("6.3", "the same length twice in one line", "<ok>content-length: <n>, <n>\r\n\r\n<b>", Stays, OPEN),
    ("6.3", "the same length in two lines", "<ok>content-length: <n>\r\n<length>", Stays, OPEN),
];

/// Chunks.
pub const CHUNKS: &[Row] = &[
    ("7.1", "two chunks", "<chunked>1\r\n{\r\n43\r\n<rest>\r\n0\r\n\r\n", Stays, Kept),
    ("7.1", "zeros before a size", "<chunked>000<h>\r\n<b>\r\n000\r\n\r\n", Stays, Kept),
    ("7.1.1", "extensions", "<chunked><h>;a;b=\"c; d\"\r\n<b>\r\n0;e\r\n\r\n", Stays, Kept),
    ("7.1.2", "a trailer", "<chunked><h>\r\n<b>\r\n0\r\nx-sum: 1\r\n\r\n", Stays, Kept),
    ("7.1", "no size", "<chunked>\r\n<b>\r\n0\r\n\r\n", Stays, Fails),
    ("7.1", "no chunk", "<chunked><b>", Stays, Fails),
    ("7.1", "a minus", "<chunked>-<chunks>", Stays, Fails),
    ("7.1", "0x", "<chunked>0x<chunks>", Stays, Fails),
    ("7.1", "a space before", "<chunked> <chunks>", Stays, Fails),
    ("7.1", "a letter after", "<chunked><h>g\r\n<b>\r\n0\r\n\r\n", Stays, Fails),
    ("7.1", "2^64 and the right size", "<chunked>100000000000000<chunks>", Closes, Fails),
    ("7.1", "a bare LF after a size", "<chunked><h>\n<b>\r\n0\r\n\r\n", Stays, Fails),
    ("7.1", "two CRs after a size", "<chunked><h>\r\r\n<b>\r\n0\r\n\r\n", Stays, Fails),
    ("7.1", "nothing after the data", "<chunked><h>\r\n<b>0\r\n\r\n", Stays, Fails),
    ("7.1", "a bare LF after the data", "<chunked><h>\r\n<b>\n0\r\n\r\n", Stays, Fails),
    ("7.1", "more data than announced", "<chunked><h>\r\n<b>x\r\n0\r\n\r\n", Stays, Fails),
    ("7.1.1", "a bare LF in an extension", "<chunked><h>;a\nb\r\n<b>\r\n0\r\n\r\n", Stays, Fails),
    ("7.1.1", "a bare CR in an extension", "<chunked><h>;a\rb\r\n<b>\r\n0\r\n\r\n", Stays, Fails),
    ("7.1.2", "NUL in a trailer", "<chunked><h>\r\n<b>\r\n0\r\nx-sum: \0\r\n\r\n", Stays, Fails),
    ("7.1", "no last chunk", "<chunked><h>\r\n<b>\r\n", Closes, Fails),
    ("7.1", "no end after the last chunk", "<chunked><h>\r\n<b>\r\n0\r\n", Closes, Fails),
    ("7.1.1", "NUL in an extension", "<chunked><h>;\0\r\n<b>\r\n0\r\n\r\n", Stays, Fails),
    ("7.1.2", "a bare LF after a trailer", "<chunked><h>\r\n<b>\r\n0\r\nx-sum: 1\n\r\n", Stays, Fails),
    ("7.1.2", "a folded trailer", "<chunked><h>\r\n<b>\r\n0\r\nx-sum: 1\r\n 2\r\n\r\n", Stays, Fails),
];

/// Chunks of [`LAX`] and [`OPEN`] rows.
pub const CHUNKS_LEFT_OPEN: &[Row] = &[
    ("7.1.2", "a trailer without a colon", "<chunked><h>\r\n<b>\r\n0\r\nx-sum\r\n\r\n", Stays, LAX),
    ("7.1", "white space after a size", "<chunked><h> \t\r\n<b>\r\n0\r\n\r\n", Stays, LAX),
    ("7.1.1", "an extension without a name", "<chunked><h>;\r\n<b>\r\n0\r\n\r\n", Stays, LAX),
];
