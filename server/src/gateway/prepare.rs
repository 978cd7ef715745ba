//! The gateway that the configuration asks for, with the files that it names read.

use crate::api::app::App;
use crate::auth::fetch::{FetchUrl, PlainHttp};
use crate::auth::files::Material;
use crate::config::{Settings, SocketPlace};
use crate::gateway::hooks::GatewayHooks;
use crate::gateway::live::GatewayRules;
use crate::gateway::options::{BackendPlace, DeadLetterFile, GatewayOptions};
use crate::gateway::secret::GatewaySecret;

/// The application with the backend that the configuration names, if it names one.
///
/// # Errors
/// What cannot be used, as key and reason.
pub(crate) fn install(
    app: App,
    settings: &Settings,
    runtime: &tokio::runtime::Handle,
) -> Result<(App, Option<GatewayHooks>), String> {
    let tracer = app.own_tracer().cloned();
    let gateway = prepare(settings)?.map(|options| GatewayHooks::start(options, runtime, tracer));
    let app = match &gateway {
        Some(gateway) => gateway.install(app),
        None => app,
    };
    Ok((app, gateway))
}

/// `None`: there is no backend.
///
/// # Errors
/// What cannot be used, as key and reason.
pub(crate) fn prepare(settings: &Settings) -> Result<Option<GatewayOptions>, String> {
    let gateway = settings.gateway();
    let plain = match settings.is_insecure() {
        true => PlainHttp::Anywhere,
        false => PlainHttp::ThisHost,
    };
    let mut webhooks = None;
    let place = match (&gateway.url.0, &gateway.socket) {
        (Some(url), _) => {
            let url = FetchUrl::with(url, gateway.authorities.0.as_deref(), plain);
            webhooks = Some(url.map_err(|why| format!("gateway.url: {why}"))?);
            BackendPlace::Url
        }
        (None, SocketPlace::Unix(path)) => BackendPlace::Unix(path.clone()),
        (None, SocketPlace::Tcp(address))
            if plain == PlainHttp::ThisHost && !address.ip().is_loopback() =>
        {
            let why = "gateway.socket: what is said there can be read on its way to another host: use gateway.url with https, or pass --insecure";
            return Err(why.to_owned());
        }
        (None, SocketPlace::Tcp(address)) => BackendPlace::Tcp(*address),
        (None, SocketPlace::None) => return Ok(None),
    };
    let secret = Material::read(&gateway.secret).map_err(|why| format!("gateway: {why}"))?;
    let secret = secret.map(|material| {
        GatewaySecret::new(material.secret()).ok_or_else(|| {
            format!(
                "gateway: the secret has less than {} bytes",
                GatewaySecret::BYTES_MIN
            )
        })
    });
    Ok(Some(GatewayOptions {
        place,
        rules: GatewayRules {
            secret: secret.transpose()?,
            url: webhooks,
            when_down: gateway.when_down,
            retries: u32::try_from(gateway.retries).unwrap_or(u32::MAX),
        },
        events: gateway.events,
        timeout: gateway.timeout,
        in_flight: gateway.in_flight,
        queue: gateway.queue,
        batch: gateway.batch,
        dead_letters: gateway.dead_letters.0.clone().map(|path| DeadLetterFile {
            path,
            bytes_max: gateway.dead_letter_bytes as u64,
        }),
    }))
}
