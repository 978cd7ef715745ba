"""PyPI cent, the server library for Centrifugo, as a puppet: an order is a method of the API with its parameters, and its answer the result, or {"error": code}."""

import asyncio
import json
import sys

import cent

URL, KEY, KIND = sys.argv[1:]


def request_of(method, params):
    name = "".join(part.capitalize() for part in method.split("_")) + "Request"
    if method == "batch":
        return cent.BatchRequest(requests=[request_of(*one) for command in params["commands"] for one in command.items()])
    return getattr(cent, name)(**params)


async def obey(order):
    ((method, params),) = order.items()
    request = request_of(method, params)
    try:
        if KIND == "async":
            client = cent.AsyncClient(URL, KEY)
            try:
                result = await getattr(client, method)(request)
            finally:
                await client.close()
        else:
            client = cent.Client(URL, KEY)
            result = getattr(client, method)(request)
    except cent.CentApiResponseError as error:
        return {"error": error.code}
    except cent.CentUnauthorizedError:
        return {"error": "unauthorized"}
    if method == "batch":
        return {"replies": [reply.model_dump(exclude_none=True) for reply in result.replies]}
    return result.model_dump(exclude_none=True)


async def main():
    for line in sys.stdin:
        print(json.dumps(await obey(json.loads(line))), flush=True)


asyncio.run(main())
