/*
 * real.h - the number that the network is trained in: float. The gradient test compiles the same files with double, so that
 * finite differences can hold them to six digits; weights are float in both.
 */
#ifndef PP_TRAIN_REAL_H
#define PP_TRAIN_REAL_H

#ifndef PP_REAL
#define PP_REAL          float
#define PP_REAL_IS_FLOAT 1
#else
#define PP_REAL_IS_FLOAT 0
#endif

typedef PP_REAL real;

#endif
