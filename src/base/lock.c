/* lock.c - one thread at a time. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>

#include "base/base.h"

struct pp_lock {
    pthread_mutex_t mutex;
};

pp_lock *pp_lock_create(void)
{
    pp_lock *lock = pp_alloc(sizeof *lock);
    if (!lock) return NULL;
    if (pthread_mutex_init(&lock->mutex, NULL) == 0) return lock;
    pp_free(lock);
    return NULL;
}

void pp_lock_free(pp_lock *lock)
{
    if (!lock) return;
    pthread_mutex_destroy(&lock->mutex);
    pp_free(lock);
}

void pp_lock_take(pp_lock *lock) { pthread_mutex_lock(&lock->mutex); }
void pp_lock_give(pp_lock *lock) { pthread_mutex_unlock(&lock->mutex); }
