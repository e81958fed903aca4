/* A hashed wheel of coarse timers: setting, clearing and calling one costs the same however many are set, which is what
 * ten thousand pages with a ping each need. Timers that are due later than one turn of the wheel stay in their slot for
 * the turns between. Owner: a loop, under its lock. Calls nobody. */
#include "front/front_internal.h"

static void put_in(struct ls__wheel *wheel, struct ls__timer *timer, unsigned slot)
{
    struct ls__timer **head = &wheel->slots[slot];
    timer->slot = (uint16_t)slot;
    timer->prev = NULL;
    timer->next = *head;
    if (*head) (*head)->prev = timer;
    *head = timer;
    if (slot < LS_WHEEL_SLOTS) wheel->used[slot / 64] |= UINT64_C(1) << (slot % 64);
}

static void take_out(struct ls__wheel *wheel, struct ls__timer *timer)
{
    unsigned slot = timer->slot;
    if (timer->next) timer->next->prev = timer->prev;
    if (timer->prev)
        timer->prev->next = timer->next;
    else
        wheel->slots[slot] = timer->next;
    if (slot < LS_WHEEL_SLOTS && !wheel->slots[slot]) wheel->used[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
}

void ls__wheel_put(struct ls__wheel *wheel, struct ls__timer *timer, int64_t due_tick)
{
    ls__wheel_take(wheel, timer);
    timer->due = due_tick > wheel->done ? due_tick : wheel->done + 1;
    timer->set = true;
    wheel->count++;
    put_in(wheel, timer, (unsigned)(timer->due % LS_WHEEL_SLOTS));
}

bool ls__wheel_take(struct ls__wheel *wheel, struct ls__timer *timer)
{
    if (!timer->set) return false;
    take_out(wheel, timer);
    timer->set = false;
    wheel->count--;
    return true;
}

struct ls__timer *ls__wheel_due(struct ls__wheel *wheel, int64_t now)
{
    if (wheel->count == 0 && wheel->done < now) wheel->done = now;
    for (int i = 0; !wheel->slots[LS_WHEEL_SLOTS] && wheel->done < now; i++) {
        /* After so many steps each slot has been looked at. */
        wheel->done = i < LS_WHEEL_SLOTS ? wheel->done + 1 : now;
        struct ls__timer *timer = wheel->slots[wheel->done % LS_WHEEL_SLOTS], *next;
        for (; timer; timer = next) {
            next = timer->next;
            if (timer->due > now) continue;
            take_out(wheel, timer);
            put_in(wheel, timer, LS_WHEEL_SLOTS);
        }
    }
    struct ls__timer *due = wheel->slots[LS_WHEEL_SLOTS];
    if (due) ls__wheel_take(wheel, due);
    return due;
}

int64_t ls__wheel_next(const struct ls__wheel *wheel)
{
    if (wheel->slots[LS_WHEEL_SLOTS]) return wheel->done;
    for (int64_t i = 1; i <= LS_WHEEL_SLOTS;) {
        unsigned slot = (unsigned)((wheel->done + i) % LS_WHEEL_SLOTS);
        uint64_t bits = wheel->used[slot / 64] >> (slot % 64);
        if (bits != 0) return wheel->done + i + __builtin_ctzll(bits);
        i += 64 - slot % 64;
    }
    return INT64_MAX;
}
