//! Event streams at their boundary: frames in, the bytes of events out, and what a client makes of
//! them.

use shardcast_protocol::close::CloseCode;
use shardcast_protocol::events::{Form, Framing, write_frames, write_opening};
use shardcast_protocol::frame::{OpCode, split_server_frame, write_close, write_frame};
use shardcast_protocol::http::Headers;

fn events(frames: &[(OpCode, &[u8])]) -> String {
    let (mut bytes, mut out) = (Vec::new(), Vec::new());
    for (opcode, payload) in frames {
        write_frame(&mut bytes, *opcode, payload);
    }
    write_frames(&mut out, &bytes, Form::Events, Framing::UntilClose);
    let mut chunked = b"before".to_vec();
    write_frames(&mut chunked, &bytes, Form::Events, Framing::Chunked);
    // RFC 9112 §7.1: one chunk, none for nothing, and the last one behind a close.
    let mut expected = b"before".to_vec();
    if !out.is_empty() {
        expected.extend(format!("{:x}\r\n", out.len()).bytes());
        expected.extend(&out);
        expected.extend(b"\r\n");
    }
    if frames.iter().any(|(opcode, _)| *opcode == OpCode::Close) {
        expected.extend(b"0\r\n\r\n");
    }
    assert_eq!(
        String::from_utf8_lossy(&chunked),
        String::from_utf8_lossy(&expected)
    );
    String::from_utf8(out).expect("UTF-8")
}

#[test]
fn every_frame_has_its_event() {
    let table: [(OpCode, &[u8], &str); 12] = [
        (OpCode::Text, b"", "data: \n\n"),
        (OpCode::Text, b"hello", "data: hello\n\n"),
        (OpCode::Text, b" : x", "data:  : x\n\n"),
        (OpCode::Text, b"a\nb", "data: a\ndata: b\n\n"),
        (OpCode::Text, b"a\r\nb\rc", "data: a\ndata: b\ndata: c\n\n"),
        (OpCode::Text, b"\n", "data: \ndata: \n\n"),
        (OpCode::Text, b"\n\r", "data: \ndata: \ndata: \n\n"),
        (
            OpCode::Text,
            b"event: close\n\n",
            "data: event: close\ndata: \ndata: \n\n",
        ),
        (
            OpCode::Text,
            "\u{e4}\u{0}\u{1f980}".as_bytes(),
            "data: \u{e4}\u{0}\u{1f980}\n\n",
        ),
        (
            OpCode::Binary,
            b"\x00\xff\n",
            "event: binary\ndata: AP8K\n\n",
        ),
        (OpCode::Ping, b"x", ":\n\n"),
        (OpCode::Pong, b"x", ""),
    ];
    for (opcode, payload, expected) in table {
        assert_eq!(events(&[(opcode, payload)]), expected, "{payload:?}");
    }
    let close = |code: Option<CloseCode>, reason: &str| {
        let mut bytes = Vec::new();
        write_close(&mut bytes, code, reason);
        let (_, payload, _) = split_server_frame(&bytes).expect("a frame");
        events(&[(OpCode::Close, payload)])
    };
    let line = |json: &str| format!("event: close\ndata: {json}\n\n");
    assert_eq!(
        close(Some(CloseCode::POLICY), "too \"slow\"\n"),
        line(r#"{"code":1008,"reason":"too \"slow\"\n"}"#)
    );
    assert_eq!(close(None, ""), line(r#"{"code":1005,"reason":""}"#));
}

#[test]
fn frames_of_every_size_follow_each_other() {
    let sizes = [0, 1, 125, 126, 127, 65_535, 65_536, 70_000];
    let texts: Vec<String> = sizes.iter().map(|&size| "x".repeat(size)).collect();
    let frames: Vec<(OpCode, &[u8])> = texts
        .iter()
        .map(|text| (OpCode::Text, text.as_bytes()))
        .collect();
    let expected: String = texts
        .iter()
        .map(|text| format!("data: {text}\n\n"))
        .collect();
    assert_eq!(events(&frames), expected);
    let mut bytes = Vec::new();
    write_frame(&mut bytes, OpCode::Text, texts[4].as_bytes());
    for have in 0..bytes.len() {
        assert_eq!(split_server_frame(&bytes[..have]), None, "{have}");
    }
}

/// A client by the letter of WHATWG HTML §9.2.6: the data of each event.
fn parsed(stream: &str) -> Vec<String> {
    let (mut heard, mut data) = (Vec::new(), None::<String>);
    for line in stream.split('\n') {
        if line.is_empty() {
            heard.extend(data.take());
        } else if let Some(value) = line.strip_prefix("data:") {
            let value = value.strip_prefix(' ').unwrap_or(value);
            data =
                Some(data.map_or_else(|| value.to_owned(), |before| format!("{before}\n{value}")));
        }
    }
    heard
}

#[test]
fn whatever_the_text_the_client_hears_it() {
    let pieces = [
        "\n",
        "\r",
        "\r\n",
        "data:",
        ":",
        " ",
        "x",
        "event: close",
        "id: 7",
        "\u{feff}",
    ];
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..20_000 {
        let text: String = (0..random.usize(0..8))
            .map(|_| pieces[random.usize(..pieces.len())])
            .collect();
        let heard = parsed(&events(&[
            (OpCode::Text, text.as_bytes()),
            (OpCode::Ping, b""),
        ]));
        assert_eq!(heard, [text.replace("\r\n", "\n").replace('\r', "\n")]);
    }
}

#[test]
fn the_opening_is_exact() {
    let mut headers = Headers::new();
    for (name, value) in [
        ("access-control-allow-origin", "https://a"),
        ("Set-Cookie", "a=b"),
    ] {
        assert_eq!(headers.add(name, value), Ok(()));
    }
    let (all, some) = (
        "Access-Control-Allow-Origin: *\r\n",
        "access-control-allow-origin: https://a\r\nSet-Cookie: a=b\r\n",
    );
    for (framing, headers, lines, coding, first) in [
        (
            Framing::UntilClose,
            &Headers::new(),
            all,
            "",
            "event: session\ndata: token\n\n",
        ),
        (
            Framing::Chunked,
            &headers,
            some,
            "Transfer-Encoding: chunked\r\n",
            "1c\r\nevent: session\ndata: token\n\n\r\n",
        ),
    ] {
        let mut out = Vec::new();
        write_opening(&mut out, Form::Events, "token", framing, headers);
        let expected = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\
             X-Accel-Buffering: no\r\n{lines}{coding}Connection: close\r\n\r\n{first}"
        );
        assert_eq!(String::from_utf8(out), Ok(expected));
    }
}

/// What the Centrifuge protocol's streams are sent of one message, a close, and a ping.
#[test]
fn every_form_has_its_messages() {
    let push = b"{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":[1,\r2]}}}";
    let reply = br#"{"id":1,"connect":{"client":"x"}}"#;
    let mut frames = Vec::new();
    for (opcode, payload) in [
        (OpCode::Text, &push[..]),
        (OpCode::Text, &reply[..]),
        (OpCode::Text, b"{}"),
        (OpCode::Ping, b""),
        (OpCode::Pong, b""),
    ] {
        write_frame(&mut frames, opcode, payload);
    }
    let code = CloseCode::new(3501).expect("a code");
    write_close(&mut frames, Some(code), "bad \"one\"");
    let written = |form| {
        let mut out = Vec::new();
        write_frames(&mut out, &frames, form, Framing::UntilClose);
        out
    };
    let lines = "{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":[1,\r2]}}}\n\
         {\"id\":1,\"connect\":{\"client\":\"x\"}}\n{}\n\
         {\"push\":{\"disconnect\":{\"code\":3501,\"reason\":\"bad \\\"one\\\"\"}}}\n";
    let pushes = "{\"channel\":\"a\",\"pub\":{\"data\":[1,\r2]}}\n{\"connect\":{\"client\":\"x\"}}\n{}\n\
         {\"disconnect\":{\"code\":3501,\"reason\":\"bad \\\"one\\\"\"}}\n";
    // A carriage return would end an event's line, and a ping is a comment there.
    let events_of = |lines: &str| {
        let events = lines
            .lines()
            .map(|line| format!("data: {}\n\n", line.replace('\r', " ")));
        let mut events: Vec<String> = events.collect();
        events.insert(3, ":\n\n".to_owned());
        events.concat()
    };
    for (form, expected) in [
        (Form::CentrifugeLines, lines.to_owned()),
        (Form::PushLines, pushes.to_owned()),
        (Form::CentrifugeEvents, events_of(lines)),
        (Form::PushEvents, events_of(pushes)),
    ] {
        assert_eq!(String::from_utf8(written(form)), Ok(expected), "{form:?}");
    }
    let mut rest = &*written(Form::PushFrames);
    let mut heard = Vec::new();
    while let Some((opcode, payload, behind)) = split_server_frame(rest) {
        heard.push((opcode, payload.to_vec()));
        rest = behind;
    }
    let opcodes: Vec<OpCode> = heard.iter().map(|(opcode, _)| *opcode).collect();
    let text = OpCode::Text;
    let expected = [
        text,
        text,
        text,
        OpCode::Ping,
        OpCode::Pong,
        text,
        OpCode::Close,
    ];
    assert_eq!(opcodes, expected);
    let texts: Vec<&[u8]> = heard
        .iter()
        .filter(|(opcode, _)| *opcode == text)
        .map(|(_, text)| &**text)
        .collect();
    assert_eq!(texts.join(&b'\n'), pushes.trim_end().as_bytes());
}

#[test]
fn protobuf_is_sent_as_it_is() {
    let mut frames = Vec::new();
    write_frame(&mut frames, OpCode::Binary, &[2, 8, 1]);
    write_frame(&mut frames, OpCode::Binary, &[0]);
    write_close(&mut frames, CloseCode::new(3001), "down");
    let mut out = Vec::new();
    write_frames(
        &mut out,
        &frames,
        Form::CentrifugeDelimited,
        Framing::Chunked,
    );
    let disconnect = b"\x0d\x22\x0b\x5a\x09\x08\xb9\x17\x12\x04down";
    let body = [&[2, 8, 1, 0][..], disconnect].concat();
    let chunk = [&b"12\r\n"[..], &body, b"\r\n0\r\n\r\n"].concat();
    assert_eq!(out, chunk);
}
