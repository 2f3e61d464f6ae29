//! A request as a command that sends it again.

/// The command line that sends a request once more, signature and all, for a POSIX shell.
pub fn curl_of(method: &str, url: &str, headers: &[(String, String)], body: &[u8]) -> String {
    let mut line = format!("curl --globoff --request {} {}", quoted(method), quoted(url));
    for (name, value) in headers {
        line.push_str(&format!(" \\\n  --header {}", quoted(&format!("{name}: {value}"))));
    }
    // Unlike `--data`, this reads no file where the text begins with an at sign, and leaves line ends alone.
    line.push_str(&format!(" \\\n  --data-raw {}", quoted(&String::from_utf8_lossy(body))));
    line
}

/// In single quotes nothing means anything but the quote itself.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
