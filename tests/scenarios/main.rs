//! The scenarios, theme by theme.

#![expect(clippy::unwrap_used, reason = "what a scenario does not expect must end it")]

mod accounts;
mod damage;
mod jobs;
mod one_box;
mod requests;
mod results;

fn main() -> std::process::ExitCode {
    willcall_tests::run(
        [
            jobs::scenarios(),
            results::scenarios(),
            requests::scenarios(),
            accounts::scenarios(),
            damage::scenarios(),
            one_box::scenarios(),
        ]
        .into_iter()
        .flatten()
        .collect(),
    )
}
