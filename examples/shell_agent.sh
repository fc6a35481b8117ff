#!/bin/sh
# An agent in plain sh. It reads a turn, which is one line of JSON, and writes its reply as lines of JSON.

IFS= read -r turn

# `text` is always the first key. It stays as JSON wrote it, and can stand in JSON again.
text=$(printf '%s\n' "$turn" | sed -E 's/^\{"text":"(([^"\\]|\\.)*)".*/\1/')
# What the turn before left: the number of an order.
order=$(printf '%s\n' "$turn" | sed -nE 's/.*"state":\{"order":"([0-9]+)"\}.*/\1/p')

number=$(printf '%s\n' "$text" | sed -nE 's/.*#([0-9]+).*/\1/p')
order=${number:-$order}

case $order in
    '') printf '{"reply": "You say: %s. Which order is it about?"}\n' "$text"; exit ;;
    12345) status=shipped ;;
    *) status=unknown ;;
esac

printf '{"text": "Order #%s "}\n' "$order"
printf '{"outside": {"name": "get_order", "arguments": {"id": "%s"}, "result": "%s"}}\n' "$order" "$status"
printf '{"reply": {"text": "is %s.", "confidence": 0.9, "state": {"order": "%s"}}}\n' "$status" "$order"
