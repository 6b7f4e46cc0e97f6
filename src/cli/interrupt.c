/* interrupt.c - Ctrl-C: cancels the running sessions, so that what it made is kept; a second one ends the program. */
#define _POSIX_C_SOURCE 200809L
#include <signal.h>
#include <unistd.h>

#include "cli/cli.h"

static pippin_session *volatile to_cancel[PP_MAX_TOGETHER]; /* [n_to_cancel] */
static volatile sig_atomic_t n_to_cancel, interrupted, polled;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    if (interrupted || (!n_to_cancel && !polled)) _exit(PP_EXIT_INTERRUPTED);
    interrupted = 1;
    for (int i = 0; i < n_to_cancel; i++) pippin_session_cancel(to_cancel[i]);
}

void pp_interrupt_install(void)
{
    struct sigaction now, action = {.sa_handler = on_interrupt};
    sigemptyset(&action.sa_mask);
    /* A shell starts background jobs with SIGINT ignored, and nohup-like tools too; they mean it. */
    if (sigaction(SIGINT, NULL, &now) == 0 && now.sa_handler == SIG_IGN) return;
    sigaction(SIGINT, &action, NULL);
}

void pp_interrupt_cancels_too(pippin_session *session)
{
    to_cancel[n_to_cancel] = session;
    n_to_cancel = n_to_cancel + 1; /* once it is there */
}

void pp_interrupt_cancels(pippin_session *session)
{
    n_to_cancel = 0;
    if (session) pp_interrupt_cancels_too(session);
}

void pp_interrupt_handled(void) { interrupted = 0; }

void pp_interrupt_polled(void) { polled = 1; }

bool pp_interrupted(void) { return interrupted != 0; }
